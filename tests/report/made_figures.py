"""Figures of a collection, made once by its command, and checks that each must pass."""

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, final

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from isocline.report.reproduce import Figures, Reproduction
from isocline.report.reproduce.claims_table import reproduction_report
from tests.report.layout import check, paper


def rows(directory: Path, name: str) -> list[dict[str, str]]:
    with (directory / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@final
class Maker:
    """Makes each figure of a collection once: its record, and what its command prints."""

    def __init__(
        self,
        figures: Figures,
        command: click.Command,
        arguments: list[str],
        directory: Path,
        shorter: Mapping[str, float],
        seeds: Mapping[str, int],
    ) -> None:
        self.figures, self.directory = figures, directory
        self._command, self._arguments = command, arguments
        self._shorter, self._seeds = shorter, seeds
        self.made = cache(self._made)

    def run(self, *arguments: str | Path) -> Result:
        words = [*self._arguments, *map(str, arguments)]
        return CliRunner().invoke(self._command, words, prog_name="isocline")

    def _made(self, name: str) -> tuple[Reproduction, dict[str, Any]]:
        kept: list[Reproduction] = []
        make = Figures.make

        def keeping(figures: Figures, name: str, **options: Any) -> Reproduction:
            kept.append(make(figures, name, **options))
            return kept[-1]

        seed = str(self._seeds.get(name, 0))
        with pytest.MonkeyPatch.context() as patch:
            for constant, value in self._shorter.items():
                patch.setattr(f"{self.figures.package}.{constant}", value)
            patch.setattr(Figures, "make", keeping)
            result = self.run(name, "--quick", "--json", "--out", self.directory, "--seed", seed)
        assert result.exit_code == 0, result.stderr
        return kept[0], json.loads(result.stdout)


def check_files(maker: Maker, name: str) -> None:
    record, document = maker.made(name)
    directory = maker.directory
    files = [Path(path) for path in document["files"]]
    assert {f"{name}.png", f"{name}.svg"} < {path.name for path in files}
    assert (directory / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert ET.parse(directory / f"{name}.svg").getroot().tag.endswith("svg")
    tables = [path for path in files if path.suffix == ".csv"]
    assert tables
    assert all(rows(directory, path.stem) for path in tables)
    assert document["figure"] == name
    assert document["title"]
    assert document["conditions"]
    assert document["claims"]
    for claim in document["claims"]:
        assert claim["claim"]
        assert claim["source"]
        assert claim["measured"]
        assert claim["verdict"] in {"agrees", "disagrees"}
    assert record.figure.get_size_inches()[0] == pytest.approx(6.5)  # the text width of a page


def check_table(maker: Maker, name: str) -> None:
    record, _ = maker.made(name)
    console = Console(width=400, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(reproduction_report(name, record))
    printed = capture.get()
    for claim in record.claims:
        cells = (claim.claim, claim.source, claim.measured, claim.verdict)
        assert any(all(cell in line for cell in cells) for line in printed.splitlines())
    assert record.conditions in " ".join(printed.split())


def check_picture(maker: Maker, name: str, look: str) -> None:
    record, _ = maker.made(name)
    with paper(look):
        figure = record.figure
        check(figure)
    assert figure.get_suptitle().casefold() == record.title.casefold()


def check_list(maker: Maker) -> None:
    for option in ([], ["--json"]):
        result = maker.run(*option)
        assert result.exit_code == 0
        assert all(name in result.stdout for name in maker.figures.summaries)
        if option:
            listed = {row["name"] for row in json.loads(result.stdout)["figures"]}
            assert listed == set(maker.figures.summaries)
