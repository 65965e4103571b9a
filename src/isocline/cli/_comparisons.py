"""Comparisons of policies as `isocline simulate` shows and writes them, of both kinds of system."""

from collections.abc import Sequence
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.errors import InfeasibleError
    from isocline.simulate.common.comparison_change import ComparisonChange
    from isocline.simulate.routing.results import Comparison, InfeasibleLoad, Sweep
    from isocline.simulate.scheduling.results import ClusterComparison, ClusterSweep

    Found = Comparison | Sweep | ClusterComparison | ClusterSweep


def infeasible(found: "Found") -> "tuple[InfeasibleLoad, ...]":
    """Loads that no policy can serve, lowest first."""
    from isocline.simulate.routing.results import Sweep

    return found.infeasible if isinstance(found, Sweep) else ()


def comparisons(found: "Found") -> "Sequence[Comparison | ClusterComparison]":
    """Those of all loads that were simulated, lowest first."""
    from isocline.simulate.common.results import LoadSweep

    return found.comparisons if isinstance(found, LoadSweep) else (found,)


def left_out(found: "Found", loads: Sequence[float]) -> list[float]:
    """Loads that an interrupted run did not come to."""
    there = [*(one.load for one in comparisons(found)), *(one.load for one in infeasible(found))]
    return [load for load in loads if not any(isclose(load, at) for at in there)]


def imprecise(found: "Found", precision: float | None) -> float | None:
    """Widest half-width of a mean latency, relative; None if it is as asked."""
    from isocline.simulate.common.adaptive_runs import widest

    width = max((widest(one) for one in comparisons(found)), default=0.0)
    return width if precision is not None and width > precision else None


def document(found: "Found", policies: Sequence[str]) -> dict[str, Any]:
    """The JSON document of a result.

    Of several loads, some of which no policy can serve, it is the proof for the largest, with the
    documents of all loads as `loads`.
    """
    beyond = infeasible(found)
    if not beyond:
        return found.to_dict()
    return proof(beyond[-1].error, policies) | {"loads": found.to_dict()["loads"]}


def proof(error: "InfeasibleError", policies: Sequence[str]) -> dict[str, Any]:
    """The JSON document where nothing can be served: the violated set in place of large means."""
    from isocline.simulate.routing.compare import DEFAULT_POLICIES
    from isocline.simulate.routing.results import proof_of

    unstable = [
        {"policy": policy, "status": "unstable", "mean_jobs": None}
        for policy in policies or DEFAULT_POLICIES
    ]
    return proof_of(error) | {"policies": unstable}


def change_document(change: "ComparisonChange", policies: Sequence[str]) -> dict[str, Any]:
    """The JSON document of a system before and after a change; proofs stand where there are any."""
    found = change.to_dict()
    for side, error in change.infeasible.items():
        found[side] = proof(error, policies)
    return found


def report(found: "Found") -> "RenderableType":
    """The tables."""
    from isocline.report.tables.comparison import comparison_report, sweep_report
    from isocline.simulate.routing.results import Comparison, Sweep

    if isinstance(found, Sweep):
        return sweep_report(found)
    if isinstance(found, Comparison):
        return comparison_report(found)
    from isocline.report.tables.cluster import cluster_report, cluster_sweep_report
    from isocline.simulate.scheduling.results import ClusterSweep

    return cluster_sweep_report(found) if isinstance(found, ClusterSweep) else cluster_report(found)


def written(found: "Found", out: Path) -> list[Path]:
    """The files: pictures and data."""
    from isocline.report.export.files import write_cluster, write_comparison, write_sweep
    from isocline.simulate.common.results import LoadSweep
    from isocline.simulate.routing.results import Comparison

    if isinstance(found, LoadSweep):
        return write_sweep(found, out)
    if isinstance(found, Comparison):
        return write_comparison(found, out)
    return write_cluster(found, out)
