"""The arena: its table is what was measured, and its claims and its picture say the same."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.model.traffic import PromptBlocks, Trace
from isocline.policies.parse import parse
from isocline.policies.routing import ALL
from isocline.report.reproduce.arena_runs import (
    DEFAULT,
    QUICK,
    SAME,
    SETTINGS,
    TOKEN_SETTINGS,
    cells,
    policies,
)
from tests.report.made_figures import Maker, rows


def by_cell(maker: Maker) -> dict[tuple[str, ...], dict[str, dict[str, str]]]:
    """Rows of the table: of each cell, by policy."""
    maker.made("arena")
    found: dict[tuple[str, ...], dict[str, dict[str, str]]] = defaultdict(dict)
    for row in rows(maker.directory, "arena"):
        found[row["fleet"], row["traffic"], row["load"]][row["policy"]] = row
    return found


def test_every_policy_is_in_every_cell_or_stood_for(maker: Maker) -> None:
    enrolled = {name for name in ALL if not ALL[name].may_hold} - {"gmsr_ahead"}
    for found in by_cell(maker).values():
        assert {name.partition(":")[0] for name in found} | set(SAME) == enrolled
        assert set(SAME.values()) <= found.keys()


def test_ratios_are_to_the_best_of_the_cell(maker: Maker) -> None:
    for found in by_cell(maker).values():
        latencies = {name: float(row["latency"]) for name, row in found.items()}
        for name, row in found.items():
            ratio = latencies[name] / min(latencies.values())
            assert float(row["ratio"]) == pytest.approx(ratio)
            assert float(row["ratio_low"]) <= ratio * (1 + 1e-12)
            assert float(row["ratio_high"]) >= ratio * (1 - 1e-12)


def test_claims_and_summary_follow_from_the_table(maker: Maker) -> None:
    found = by_cell(maker)
    _, document = maker.made("arena")
    lost = [cell for cell, of in found.items() if float(of[DEFAULT]["ratio_low"]) > 1.01]
    (claim,) = document["claims"]  # without a trace the others are left out
    assert (claim["verdict"] == "agrees") == (not lost)
    assert f"in {len(found) - len(lost)} of {len(found)}" in claim["measured"]
    for row in rows(maker.directory, "arena-summary"):
        ratios = [float(of[row["policy"]]["ratio"]) for of in found.values()]
        assert float(row["worst"]) == pytest.approx(max(ratios))
        assert float(row["mean_ratio"]) == pytest.approx(np.exp(np.mean(np.log(ratios))))


def test_the_picture_has_a_field_for_each_row_of_the_table(maker: Maker) -> None:
    found = by_cell(maker)
    (axes,) = maker.made("arena")[0].figure.axes
    texts = [text.get_text() for text in axes.texts]
    fleets = {cell[0] for cell in found}
    level = sum(float(row["ratio_low"]) <= 1.01 for of in found.values() for row in of.values())
    assert texts.count("·") == level
    assert len(texts) == sum(map(len, found.values())) + len(fleets)


@pytest.mark.parametrize("cached", [False, True])
def test_settings_that_are_searched_can_be_used_and_hold_the_default(cached: bool) -> None:
    found = policies(cached)
    assert found.keys() >= SETTINGS.keys() | (TOKEN_SETTINGS.keys() if cached else set())
    for policy, settings in found.items():
        assert "" in settings
        made = [parse(f"{policy}:{setting}" if setting else policy) for setting in settings]
        assert len(set(made)) == len(made)
        for one in made:
            one.option()


def test_a_trace_adds_its_cells_to_every_fleet() -> None:
    trace = Trace("mine", np.array([0.0, 1.0, 4.0]), np.ones(3), np.ones(3))
    plain, more = cells(QUICK, (), 0), cells(QUICK, (trace,), 0)
    added = [cell for cell in more if cell.traffic == "mine"]
    assert [(cell.fleet, cell.load) for cell in added] == [
        (fleet, load)
        for fleet in dict.fromkeys(cell.fleet for cell in plain)
        for load in QUICK.traces
    ]
    assert len(more) == len(plain) + len(added)


def test_a_trace_that_tells_blocks_adds_cells_with_caches() -> None:
    blocks = PromptBlocks(np.array([0, 1, 3, 4]), np.array([0, 0, 1, 2], np.int32))
    tokens = np.array([64.0, 100.0, 20.0])
    trace = Trace("mine", np.array([0.0, 1.0, 4.0]), tokens, np.ones(3), blocks=blocks)
    cached = [cell for cell in cells(QUICK, (trace,), 0) if cell.cached]
    assert [cell.load for cell in cached] == 2 * list(QUICK.caches)
    assert all(cell.system.block_size == 64 for cell in cached)
    assert set(SAME) <= policies(cached=True).keys()
    assert set(SAME).isdisjoint(policies(cached=False))


def test_cells_have_their_load() -> None:
    for cell in cells(QUICK, (), 0):
        if cell.trace is None:
            assert cell.length is not None
            came = cell.length * float(cell.system.rates.sum())
            assert came == pytest.approx(QUICK.jobs)
    daily = next(cell for cell in cells(QUICK, (), 0) if cell.traffic == "daily")
    rates: Any = daily.system.frontends[0].arrivals
    steps = np.array([rate for _, rate in rates.steps])
    assert steps.max() / steps.mean() == pytest.approx(1.5, abs=0.01)
    assert steps.min() / steps.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["gmsr-fig7", "--trace", "some.csv"],
            "--trace does not apply to gmsr-fig7; it does to: arena",
        ),
        (["arena", "--trace", "none.csv"], "none.csv"),
    ],
)
def test_a_trace_that_cannot_be_replayed_is_refused(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["reproduce", *arguments, "--out", str(out)])
    assert result.exit_code == 2
    assert words in result.stderr
    assert not out.exists()
