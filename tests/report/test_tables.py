"""Tables say what a reader of the figures must know."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType

from isocline.flow.certificate import Certificate
from isocline.model.cluster import Cluster, ExplicitTasks, Rates
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile import load
from isocline.report.tables.comparison import comparison_report, sweep_report
from isocline.report.tables.load import load_conditions
from isocline.report.tables.near_data import near_data_report
from isocline.report.tables.plan import plan_report
from isocline.report.tables.style import Column, names, table
from isocline.report.words import number, percent
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.routing.results import Comparison, Sweep
from isocline.theory.routing.plan_records import (
    BackendPlan,
    Bottleneck,
    EdgeSaving,
    Plan,
    SpeedSaving,
    SplitRate,
    TierPlan,
)
from isocline.theory.scheduling.near_data_plan import near_data_plan
from tests.report.gallery import durations

Make = Callable[..., Comparison]
_SYSTEM = load(Path(__file__).parents[2] / "examples" / "n_model.yaml")
assert isinstance(_SYSTEM, RoutingSystem)
SYSTEM = _SYSTEM


def text(record: RenderableType) -> str:
    console = Console(width=160, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(record)
    return capture.get()


def row(name: str, printed: str) -> list[str]:
    line = next(line for line in printed.splitlines() if line.startswith(name))
    return [cell for cell in line.split("  ") if cell]


def test_each_policy_has_its_figures_with_intervals(comparison: Make) -> None:
    cells = [cell.strip() for cell in row("jsq", text(comparison_report(comparison())))]
    assert cells == [
        "jsq",
        "666.7 ± 6.7", "333.3", "2,000", "2,667 ± 27", "66.67", "2.000 ± 0.020", "+300 ± 15",
    ]  # fmt: skip


def said(record: RenderableType) -> str:
    return " ".join(text(record).split())


def test_an_overload_that_a_change_brings_is_said_without_a_trace(comparison: Make) -> None:
    spans = ((20.0, 40.0), (60.0, math.inf))
    printed = said(comparison_report(replace(comparison(), beyond_capacity=spans)))
    assert "Beyond capacity from 20 s to 40 s, from 60 s on: arrivals exceed what" in printed
    assert "trace" not in printed
    # Of a fleet whose first system is beyond capacity, too.
    printed = said(comparison_report(replace(comparison(), load=1.2, beyond_capacity=spans)))
    assert printed.count("Beyond capacity") == 1
    assert "trace" not in printed
    printed = said(comparison_report(replace(comparison(), load=1.2)))
    assert "Beyond capacity: the load of the trace is 1.20 times what can be served" in printed


def with_results(comparison: Comparison, **figures: Any) -> Comparison:
    changed = tuple(replace(policy, **figures) for policy in comparison.policies)
    return replace(comparison, policies=changed)


def test_more_time_is_advised_where_more_time_helps(comparison: Make) -> None:
    without = with_results(comparison(), p50=None, p95=None, p99=None)
    assert "replication; give a longer --horizon" in said(comparison_report(without))
    printed = said(comparison_report(replace(without, source="trace made up")))
    assert "replication; give a longer trace" in printed
    given_up = with_results(without, abandoned=Estimate(0.97, 0.96, 0.98))
    printed = said(comparison_report(replace(given_up, patience="exponential patience")))
    assert "hardly any is: 97% or more are never served" in printed
    assert "lower --load, or more patience" in printed
    assert "longer" not in printed
    printed = said(comparison_report(replace(without, percentiles=False)))
    assert "No percentiles" not in printed


def test_a_gap_in_littles_law_has_the_remedy_of_its_run(comparison: Make) -> None:
    gap = with_results(comparison(), littles_law=0.4)
    assert "longer --horizon, or a shorter --warmup" in said(comparison_report(gap))
    drained = said(comparison_report(with_results(gap, finished=310.0)))
    assert "leave out --start and --warmup" in drained
    assert "longer" not in drained


def test_a_sweep_has_a_table_of_all_that_was_not_served(comparison: Make) -> None:
    some = {"goodput": Estimate(9.0, 8.0, 10.0), "resent": 4321, "lost": 17}
    loads = tuple(with_results(comparison(load=load), **some) for load in (0.5, 0.8))
    printed = text(sweep_report(Sweep(tuple(replace(one, deadline=1.0) for one in loads))))
    for heading in ("late, %", "goodput, jobs/s", "resent", "lost"):
        assert f"small fleet: {heading}" in printed
    assert printed.count("4,321") == 2 * len(loads[0].policies)
    assert "resent" not in text(sweep_report(Sweep((comparison(load=0.5), comparison()))))


def test_conditions_are_printed_with_the_figures(comparison: Make) -> None:
    printed = " ".join(text(comparison_report(comparison())).split())
    assert (
        "Arrivals: Poisson; load 0.700. 8 replications of 300 s, of each the first 60 s discarded "
        "(MSER-5); seed 1. Bound: the fluid optimum, 33.33 jobs, 333.3 ms. "
        "±: 95 % Student-t intervals over replications."
    ) in printed


def test_an_interrupted_run_says_so(comparison: Make) -> None:
    interrupted = replace(comparison(), interrupted=True)
    assert "Interrupted: these replications were finished." in text(comparison_report(interrupted))
    assert "Interrupted" not in text(comparison_report(comparison()))


def test_an_unstable_policy_is_called_unstable_and_has_no_figures(comparison: Make) -> None:
    printed = text(comparison_report(comparison(unstable=("random",))))
    assert [cell.strip() for cell in row("random", printed)][:3] == ["random", "unstable", "–"]
    assert "random is unstable: jobs at a10g-1 grow without end" in printed


def test_percentiles_that_were_not_measured_are_dashes(comparison: Make) -> None:
    full = comparison(count=1)
    bare = replace(full.policies[0], p50=None, p95=None, p99=None)
    cells = row("gmsr", text(comparison_report(replace(full, policies=(bare,)))))
    assert [cell.strip() for cell in cells[2:5]] == ["–", "–", "–"]


def test_a_sweep_has_a_column_per_load_and_the_bound_below(comparison: Make) -> None:
    sweep = Sweep((comparison(0.5), comparison(0.9, unstable=("random",))))
    printed = text(sweep_report(sweep))
    assert [cell.strip() for cell in row("gmsr", printed)] == ["gmsr", "220.0 ± 2.2", "1,100 ± 11"]
    assert [cell.strip() for cell in row("bound", printed)] == ["bound", "200.0", "1,000"]
    assert "At load 0.900: random is unstable" in printed


PLAN = Plan(
    status="optimal",
    total_jobs=2.828,
    mean_latency=2.828,
    backends=tuple(BackendPlan(b, 1.414, 0.5, 0.1716, 0.5) for b in ("b1", "b2")),
    split=(SplitRate("f1", "b1", 0.4), SplitRate("f2", "b1", 0.1), SplitRate("f2", "b2", 0.5)),
    tiers=(TierPlan(("f1", "f2"), ("b1", "b2"), 0.1716),),
    capacity_scale=2.0,
    bottleneck=Bottleneck(("f1", "f2"), ("b1", "b2")),
    certificate=Certificate(1e-16, 2e-12),
    shadow_prices=(SpeedSaving("b1", 0.012), SpeedSaving("b2", 0.0)),
    missing_edges=(EdgeSaving("f1", "b2", 0.0345),),
    system=SYSTEM,
)


def test_a_plan_says_what_it_costs_how_far_it_goes_and_what_would_help() -> None:
    printed = text(plan_report(PLAN))
    assert "N-model: optimal  2.828 jobs in the system, mean latency 2.828 s" in printed
    assert "Load 0.500: the arrivals may grow 2.000 times; then f1, f2 would fill b1, b2" in printed
    assert row("b1", printed)[-1].strip() == "12.0 ms"
    assert "b2 83.3%, b1 16.7%" in printed
    assert "connect f1–b2: saves 34.5 ms" in printed
    assert "1 % faster saves: to first order" in printed
    assert "conservation residual 1.0e-16, slope gap 2.0e-12" in printed


def test_one_tier_needs_no_table_of_tiers() -> None:
    assert "Tiers" not in text(plan_report(PLAN))
    two = tuple(tier._replace(backends=(b,)) for b in ("b1", "b2") for tier in PLAN.tiers)
    assert "Tiers" in text(plan_report(replace(PLAN, tiers=two)))


def test_a_long_plan_is_cut_and_says_where_the_rest_is() -> None:
    many = tuple(PLAN.backends[0]._replace(name=f"b{i}") for i in range(100))
    printed = text(plan_report(replace(PLAN, backends=many)))
    assert "Backends (first 40 of 100; --json has all)" in printed
    assert "b39 " in printed
    assert "b40 " not in printed


def test_an_infeasible_plan_is_its_proof() -> None:
    proof = Bottleneck(("f1",), ("b1",))
    plan = replace(PLAN, status="infeasible", bottleneck=proof, capacity_scale=0.8)
    printed = text(plan_report(plan))
    assert "N-model: infeasible" in printed
    assert (
        "Frontends f1 bring 0.4000 jobs/s, and may use only b1, which can serve less than 1.000"
        in printed
    )


@pytest.mark.parametrize("missing", ["shadow_prices", "missing_edges"])
def test_a_plan_without_its_extras_is_printed_all_the_same(missing: str) -> None:
    without: dict[str, Any] = {missing: ()}
    assert "Certificate" in text(plan_report(replace(PLAN, **without)))


def test_a_table_is_columns_over_records() -> None:
    columns: list[Column[Estimate]] = [
        names("which", lambda e: f"[{e.value:g}]"),
        Column("low", "low", number),
        Column("share", "value", percent),
    ]
    rows = [Estimate(x, x - 0.1, x + 0.1) for x in (0.25, 0.5, 0.75)]
    printed = text(table("shares", columns, rows, most=2))
    assert " ".join(printed.split()).startswith("shares (first 2 of 3; --json has all)")
    assert [cell.strip() for cell in row("[0.5]", printed)] == ["[0.5]", "0.4000", "50.0%"]
    assert "75.0%" not in printed
    assert "first" not in text(table("shares", columns, rows))


def test_one_of_a_kind_is_counted_in_the_singular() -> None:
    one = load_conditions(replace(durations(), due=1, connections=1))
    assert "1 request due" in one
    assert one.endswith("Up to 1 connection.")
    tasks = ExplicitTasks(CompatibilityGraph.from_neighbours(1, [(0,)]), np.array([0.5]))
    cluster = Cluster.numbered(1, Rates(1.0, 0.5), tasks)
    assert "0.5000 tasks/s on 1 server\n" in text(near_data_report(near_data_plan(cluster)))
