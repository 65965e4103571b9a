"""Every study is made by its command, as a figure of the papers is, and none is in the wheel."""

import importlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hatchling.builders.wheel import WheelBuilder

from isocline.cli import main
from isocline.report.reproduce import PAPERS
from studies import STUDIES
from tests.report.layout import LOOKS
from tests.report.made_figures import Maker, check_files, check_list, check_picture, check_table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", STUDIES.summaries)
def test_a_study_is_drawn_beside_its_data_and_its_claims(maker: Maker, name: str) -> None:
    check_files(maker, name)


@pytest.mark.parametrize("name", STUDIES.summaries)
def test_the_table_has_claim_source_measurement_and_verdict(maker: Maker, name: str) -> None:
    check_table(maker, name)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", STUDIES.summaries)
def test_a_study_can_be_read_on_light_paper_and_on_dark(maker: Maker, name: str, look: str) -> None:
    check_picture(maker, name, look)


def test_without_a_name_the_studies_are_listed(maker: Maker) -> None:
    check_list(maker)


def test_an_unknown_study_is_refused_with_the_nearest(maker: Maker, tmp_path: Path) -> None:
    result = maker.run("gmsr-delays", "--out", tmp_path / "new")
    assert result.exit_code == 2
    assert "no figure is called 'gmsr-delays'; did you mean 'gmsr-delay'?" in result.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", STUDIES.summaries)
def test_reproduce_names_the_command_of_a_study(name: str) -> None:
    result = CliRunner().invoke(main, ["reproduce", name], prog_name="isocline")
    assert result.exit_code == 2
    assert f"run `python -m studies {name}` in a checkout" in result.stderr


def test_the_two_commands_name_all_of_each_others_figures(maker: Maker) -> None:
    assert set(PAPERS.elsewhere) == set(STUDIES.summaries)
    result = maker.run("gmsr-fig7")
    assert result.exit_code == 2
    assert "run `isocline reproduce gmsr-fig7`" in result.stderr


def test_each_name_is_that_of_a_module_of_its_collection() -> None:
    for figures in (PAPERS, STUDIES):
        for name in figures.summaries:
            module = importlib.import_module(f"{figures.package}.{name.replace('-', '_')}")
            assert callable(module.reproduce)


def test_studies_are_not_in_the_wheel() -> None:
    builder = WheelBuilder(str(ROOT))
    assert builder.config.packages == ["src/isocline"]
    inside = {file.distribution_path for file in builder.recurse_included_files()}
    assert "isocline/report/reproduce/gmsr_tiers.py" in inside
    assert not {path for path in inside if "studies" in path}
