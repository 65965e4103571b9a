"""Made-up comparisons, which take no simulation, and the figures of the papers, each made once."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.report.reproduce import Reproduction, reproduce
from isocline.simulate.routing.results import Comparison
from tests.report.routing_results import make


@pytest.fixture
def comparison() -> Callable[..., Comparison]:
    return make


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `made` puts its files."""
    return tmp_path_factory.mktemp("reproduced")


# `--quick`, and quicker still: no test looks at the numbers of these two figures.
SHORTER = {
    "neardata_policies.QUICK_SERVERS": 20,
    "neardata_policies.QUICK_SERVICES": 150.0,
    "neardata_policies.QUICK_WARMUP": 50.0,
    "neardata_fig3.QUICK_SERVERS": 50,
}


SEEDS = {"neardata-heavy": 1, "gmsr-delay": 1, "gmsr-layers": 1}  # others have 0


@pytest.fixture(scope="session")
def made(directory: Path) -> Any:
    """Each figure by its name, made once: its record, and its document from the command line."""

    @cache
    def of(name: str) -> tuple[Reproduction, dict[str, Any]]:
        kept: list[Reproduction] = []

        def keeping(*arguments: Any, **options: Any) -> Reproduction:
            kept.append(reproduce(*arguments, **options))
            return kept[-1]

        with pytest.MonkeyPatch.context() as patch:
            for constant, value in SHORTER.items():
                patch.setattr(f"isocline.report.reproduce.{constant}", value)
            patch.setattr("isocline.report.reproduce.reproduce", keeping)
            command = ["reproduce", name, "--quick", "--json", "--out", str(directory)]
            command += ["--seed", str(SEEDS.get(name, 0))]
            result = CliRunner().invoke(main, command, prog_name="isocline")
        assert result.exit_code == 0, result.stderr
        return kept[0], json.loads(result.stdout)

    return of
