"""Made-up comparisons, which take no simulation, and the figures of the papers, each made once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from isocline.cli import main
from isocline.report.reproduce import PAPERS
from isocline.simulate.routing.results import Comparison
from tests.report.made_figures import Maker
from tests.report.routing_results import make

# `--quick`, and quicker still: no test looks at the numbers of this figure.
SHORTER = {"neardata_fig3.QUICK_SERVERS": 50}
SEEDS = {"neardata-heavy": 1}  # others have 0


@pytest.fixture
def comparison() -> Callable[..., Comparison]:
    return make


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    directory = tmp_path_factory.mktemp("reproduced")
    return Maker(PAPERS, main, ["reproduce"], directory, SHORTER, SEEDS)


@pytest.fixture(scope="session")
def directory(maker: Maker) -> Path:
    """Where `made` puts its files."""
    return maker.directory


@pytest.fixture(scope="session")
def made(maker: Maker) -> Callable[..., object]:
    """Each figure by its name, made once: its record, and its document from the command line."""
    return maker.made
