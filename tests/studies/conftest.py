"""The studies, each made once."""

from collections.abc import Callable

import pytest

from studies import STUDIES
from studies.__main__ import main
from tests.report.made_figures import Maker

# `--quick`, and quicker still: no test looks at the numbers of this figure.
SHORTER = {
    "neardata_policies.QUICK_SERVERS": 20,
    "neardata_policies.QUICK_SERVICES": 150.0,
    "neardata_policies.QUICK_WARMUP": 50.0,
}
SEEDS = {"gmsr-delay": 1, "gmsr-layers": 1}  # others have 0


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(STUDIES, main, [], tmp_path_factory.mktemp("studied"), SHORTER, SEEDS)


@pytest.fixture(scope="session")
def made(maker: Maker) -> Callable[..., object]:
    """Each figure by its name, made once: its record, and its document from the command line."""
    return maker.made
