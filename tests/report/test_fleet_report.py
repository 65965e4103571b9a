"""Tables and files of the cheapest fleet say what it is and what no fleet costs less than."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import isocline
from isocline.model.fleet import Backend, RoutingSystem, Work
from isocline.model.systemfile.document import CoreLoader, text_of
from isocline.model.traffic.sizes import LognormalSizes
from isocline.report.export.files import write_fleet
from isocline.report.export.system_file import system_entries, system_text
from isocline.report.tables.fleet import fleet_report
from isocline.simulate.routing.fleet_results import CheapestFleet
from isocline.theory.routing.cheapest_fleet.target import Target
from tests.builders import fleet as a_system
from tests.report import fleet_results
from tests.theory.routing.fleet_problems import a_curve

SEEDS = st.integers(0, 2**32 - 1)


def text(fleet: CheapestFleet) -> str:
    console = Console(width=120, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(fleet_report(fleet))
    return capture.get()


def test_the_report_has_cost_bound_machines_demands_and_frontier() -> None:
    printed = text(fleet_results.fluid())
    assert printed.startswith(
        "rent: 9.000 per hour for mean <= 2 s; load <= 1 after any machine is lost\n"
        "No fleet of these types is cheaper than this one\n"
    )
    for title in ("Machines", "Demands", "Cost against target, in the fluid limit"):
        assert f"\n{title}" in printed
    assert "Nothing was simulated: fluctuation comes on top" in printed


@pytest.mark.parametrize("share", [0.99999, 0.9996])
def test_a_bound_is_not_rounded_up_to_what_does_not_hold(share: float) -> None:
    fleet = fleet_results.fluid()
    printed = text(replace(fleet, lower_bound=share * fleet.cost))
    assert "is cheaper than 99.9% of this one (" in printed


def test_the_report_of_a_simulated_fleet_has_intervals_and_the_cost_of_fluctuation() -> None:
    printed = text(fleet_results.simulated())
    assert "; 1.000 of it is for fluctuation" in printed
    assert "1.912 ± 0.012 s" in printed
    assert "Simulated: gmsr_secant, Poisson arrivals, exponential sizes, 95 % interval" in printed


def test_the_bound_of_a_percentile_is_said_to_be_loose() -> None:
    fleet = fleet_results.fluid()
    assert "is loose" not in text(fleet)
    printed = " ".join(text(replace(fleet, target=Target("p95", 2.0))).split())
    assert "That of a p95 is loose: it only knows that this share of the jobs" in printed


def test_two_machines_may_be_lost() -> None:
    assert "after any 2 machines are lost" in text(replace(fleet_results.fluid(), spare=2))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_files_have_the_tables_the_picture_and_a_system_for_each_demand(tmp_path: Path) -> None:
    fleet = fleet_results.simulated()
    written = {path.name for path in write_fleet(fleet, tmp_path)}
    assert written == {
        "fleet.png", "fleet.svg", "machines.csv", "conditions.csv", "frontier.csv",
        "system-1.yaml", "system-2.yaml",
    }  # fmt: skip
    assert [row["machines"] for row in rows(tmp_path / "machines.csv")] == ["2", "1"]
    assert rows(tmp_path / "conditions.csv")[0]["simulated_ci95_high"] == "1.924"
    assert rows(tmp_path / "frontier.csv")[0].keys() >= {"limit", "cost", "big", "small"}
    for number, demand in enumerate(fleet.problem.demands, 1):
        system = isocline.load(tmp_path / f"system-{number}.yaml", kind="routing")
        assert system.rates.tolist() == list(demand.rates)
        assert len(system.backends) == 3
        latency = isocline.plan(system).mean_latency
        stands = next(row for row in fleet.conditions if row.demand == demand.name)
        assert stands.least_latency is not None
        assert latency == pytest.approx(stands.least_latency, rel=1e-6)


def test_a_fleet_without_a_frontier_is_written_without_a_picture(tmp_path: Path) -> None:
    bare = replace(fleet_results.fluid(), frontier=())
    assert not any(path.suffix == ".png" for path in write_fleet(bare, tmp_path))


def test_a_type_of_machine_has_one_colour_in_all_pictures_of_a_file() -> None:
    fleet = fleet_results.fluid()
    swapped = [point._replace(counts=(1, 90)) for point in fleet.frontier]
    colors = []
    for frontier in (fleet.frontier, tuple(swapped)):  # another type costs most in each
        bars = replace(fleet, frontier=frontier).plot().axes[1].containers
        colors.append({it.get_label(): it[0].get_facecolor() for it in bars})
    assert colors[0].keys() == {"big", "small"}
    assert colors[0] == colors[1]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(SEEDS)
def test_a_system_file_reads_back_as_the_system(seed: int) -> None:
    rng = np.random.default_rng(seed)
    curves = [a_curve(rng) for _ in range(3)]
    system = a_system(curves, [1.0, 0.5], [[0, 2], [1]], work=Work("tokens", 2.0, 0.5, 1.0))
    entries = system_entries(system)
    import yaml

    assert yaml.load(text_of(entries), CoreLoader) == entries
    curve = [entry["curve"] for entry in entries["backends"]]
    assert [one["type"] for one in curve] == [one.type for one in curves]


def test_a_system_file_keeps_work_sizes_and_urls(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    plain = a_system([a_curve(rng), a_curve(rng)], [1.0, 0.5], [[0, 1], [1]])
    system = replace(
        plain,
        work=Work("tokens", 2.0, 0.5, 1.0),
        sizes=LognormalSizes(1.5),
        backends=(replace(plain.backends[0], url="http://h:1"), plain.backends[1]),
    )
    path = tmp_path / "s.yaml"
    path.write_text(system_text(system))
    back = isocline.load(path, kind="routing")
    assert isinstance(back, RoutingSystem)
    assert (back.work, back.sizes) == (system.work, system.sizes)
    assert [b.url for b in back.backends] == ["http://h:1", None]
    assert [b.curve for b in back.backends] == [b.curve for b in system.backends]
    assert isinstance(back.backends[0], Backend)
    assert back.graph.neighbours(1).tolist() == [1]
