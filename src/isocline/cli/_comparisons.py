"""Comparisons of policies as `isocline simulate` shows and writes them, of both kinds of system."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.errors import InfeasibleError
    from isocline.simulate.routing.results import Comparison, Sweep
    from isocline.simulate.scheduling.results import ClusterComparison, ClusterSweep

    Found = Comparison | Sweep | ClusterComparison | ClusterSweep
    # The proof for each load that no policy can serve; of None where there is no other load.
    Beyond = dict[float | None, InfeasibleError]


def document(found: "Found | None", beyond: "Beyond", policies: Sequence[str]) -> dict[str, Any]:
    """The JSON document: the result, or the violated set in place of large means.

    Of several loads, some of which no policy can serve, it is the proof for the largest, with the
    documents of all loads as `loads`.
    """
    if not beyond:
        assert found is not None
        return found.to_dict()
    proof = _infeasible(list(beyond.values())[-1], policies)
    return proof if found is None else proof | {"loads": found.to_dict()["loads"]}


def _infeasible(error: "InfeasibleError", policies: Sequence[str]) -> dict[str, Any]:
    from isocline.simulate.routing.compare import DEFAULT_POLICIES
    from isocline.simulate.routing.results import proof_of

    unstable = [
        {"policy": policy, "status": "unstable", "mean_jobs": None}
        for policy in policies or DEFAULT_POLICIES
    ]
    return proof_of(error) | {"policies": unstable}


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
