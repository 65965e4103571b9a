"""Files with the results of each verb: pictures (PNG, SVG) and their data (CSV)."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.dispatch.batch.recorded import RECORD, write_record
from isocline.errors import UsageError
from isocline.replaced_file import replace_text, replacing
from isocline.report.tables.curves import knee_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isocline.audit import Audit
    from isocline.demo.results import LiveComparison
    from isocline.dispatch.batch.result import BatchResult
    from isocline.learn import Known
    from isocline.loadgen.results import LoadResult
    from isocline.measurements import MeasuredCurve
    from isocline.model.fleet import RoutingSystem
    from isocline.report.reproduce import Reproduction
    from isocline.simulate.common.results import LoadSweep
    from isocline.simulate.routing.fleet_results import CheapestFleet
    from isocline.simulate.routing.results import Comparison
    from isocline.simulate.scheduling.results import ClusterComparison
    from isocline.theory.planning import PlanChange
    from isocline.theory.routing.fluid_path import FluidPath
    from isocline.theory.routing.latency_routing import LatencyEquilibrium
    from isocline.theory.routing.plan_records import Plan
    from isocline.theory.scheduling.plan_records import NearDataPlan

Row = Mapping[str, Any]


def write_curves(
    system: "RoutingSystem", directory: Path, known: "Mapping[str, Known] | None" = None
) -> list[Path]:
    """Write curves.png, .svg and .csv: rate and marginal rate of each backend over its workload.

    With `known`, the observations of learned curves by name, the picture shows these, and they are
    written to observed.csv.
    """
    from isocline.report.plots.curve import curve_plot  # noqa: PLC0415 - matplotlib, when needed
    from isocline.report.plots.learned import learned_plot  # noqa: PLC0415

    data = [write_rows(directory / "curves.csv", _curve_rows(system, known or {}))]
    if known is None:
        return [*write_picture(curve_plot(system), directory, "curves"), *data]
    data.append(write_rows(directory / "observed.csv", _observed_rows(known)))
    return [*write_picture(learned_plot(system, known), directory, "curves"), *data]


def write_measured_curves(curves: "Sequence[MeasuredCurve]", directory: Path) -> list[Path]:
    """Write what `write_measured` does, of several curves each to a directory of its name."""
    if len(curves) == 1:
        return write_measured(curves[0], directory)
    names = [re.sub(r"[^A-Za-z0-9._=-]+", "-", curve.name).strip("-.")[:80] for curve in curves]
    written = []
    for i, (curve, name) in enumerate(zip(curves, names, strict=True)):
        taken = not name or name in names[:i]
        written += write_measured(curve, directory / (f"{name}-{i + 1}" if taken else name))
    return written


def write_measured(curve: "MeasuredCurve", directory: Path) -> list[Path]:
    """Write measured.png and .svg, measured.csv (points), curve.csv (interval) and curve.yaml.

    The points have the curve's name and unit, so that `isocline curves --from` makes it again.
    The last is the entry of a backend for a system file.
    """
    from isocline.report.tables.measured import curve_entries  # noqa: PLC0415 - its users have it

    end = curve.points[-1].workload
    n = np.geomspace(min(1.0, curve.points[0].workload), end, 101)
    low, high = curve.bounds(n)
    columns = (n, curve.curve.rate(n), low, high)
    rows = (
        dict(zip(("jobs", "rate", "low", "high"), row, strict=True))
        for row in zip(*(column.tolist() for column in columns), strict=True)
    )
    rate = "tokens_per_second" if curve.unit == "tokens" else "rate"
    points = (
        {"name": curve.name} | {rate if key == "rate" else key: value for key, value in row.items()}
        for row in curve.rows()
    )
    entry = _write_text(directory / "curve.yaml", curve_entries([curve]))
    return [
        *write_picture(curve.plot(), directory, "measured"),
        write_rows(directory / "measured.csv", points),
        write_rows(directory / "curve.csv", rows),
        entry,
    ]


def write_audit(found: "Audit", directory: Path) -> list[Path]:
    """Write system.yaml with the learned curves, audit.png, .svg and .csv, and those of the curves.

    The CSV has a row for each policy.
    """
    from isocline.audit.system_file import system_file  # noqa: PLC0415 - with its records

    system = _write_text(directory / "system.yaml", system_file(found))
    return [
        system,
        *write_picture(found.plot(), directory, "audit"),
        write_rows(directory / "audit.csv", found.rows()),
        *write_curves(found.system, directory, found.known),
    ]


def write_plan(plan: "Plan", rival: "LatencyEquilibrium | None", directory: Path) -> list[Path]:
    """Write backends.csv and split.csv, and plan.png and .svg.

    For a load that cannot be served, also write overload.csv, one row per backend, and
    pile_ups.csv. With `rival`, routing by latency, also write latency_routing.csv, .png and .svg.
    """
    from isocline.report.plots.latency_routing import latency_routing_plot  # noqa: PLC0415

    if plan.overload is not None:
        piled = (_joined(row._asdict()) for row in plan.overload.pile_ups)
        return [
            write_rows(directory / "overload.csv", (b._asdict() for b in plan.overload.backends)),
            write_rows(directory / "pile_ups.csv", piled),
        ]
    written = write_picture(plan.plot(), directory, "plan")
    for name, rows in (("backends", plan.backends), ("split", plan.split)):
        written.append(write_rows(directory / f"{name}.csv", (row._asdict() for row in rows)))
    if rival is not None:
        figure = latency_routing_plot(plan, rival)
        written += write_picture(figure, directory, "latency_routing")
        written.append(write_rows(directory / "latency_routing.csv", rival.rows()))
    return written


def _joined(row: Row) -> Row:
    """A row with its lists of names joined to text."""
    return {key: " ".join(v) if isinstance(v, tuple) else v for key, v in row.items()}


def write_fleet(fleet: "CheapestFleet", directory: Path) -> list[Path]:
    """Write fleet.png and .svg, machines.csv, conditions.csv, frontier.csv, and system.yaml.

    The last is the fleet as a system file; with several demands there is one of each,
    system-1.yaml and on.
    """
    from isocline.report.export.system_file import system_text  # noqa: PLC0415
    from isocline.simulate.common.results import flat_row  # noqa: PLC0415

    points = (
        {"limit": row.limit, "cost": row.cost, "lower_bound": row.lower_bound}
        | dict(zip((each.name for each in fleet.problem.types), row.counts, strict=True))
        for row in fleet.frontier
    )
    written = write_picture(fleet.plot(), directory, "fleet") if fleet.frontier else []
    written += [
        write_rows(directory / "machines.csv", (row._asdict() for row in fleet.machines)),
        write_rows(directory / "conditions.csv", (flat_row(r.to_dict()) for r in fleet.conditions)),
        write_rows(directory / "frontier.csv", points),
    ]
    several = len(fleet.systems) > 1
    for i, system in enumerate(fleet.systems, 1):
        name = f"system-{i}.yaml" if several else "system.yaml"
        written.append(_write_text(directory / name, system_text(system)))
    return written


def write_near_data_plan(plan: "NearDataPlan", directory: Path) -> list[Path]:
    """Write plan.png and .svg, servers.csv and, if a server helps another, helps.csv."""
    data = [write_rows(directory / "servers.csv", plan.rows())]
    if plan.helps:
        helps = (entry._asdict() for entry in plan.helps)
        data.append(write_rows(directory / "helps.csv", helps))
    return [*write_picture(plan.plot(), directory, "plan"), *data]


def write_plan_change(change: "PlanChange", directory: Path) -> list[Path]:
    """Write what `write_plan` or `write_near_data_plan` do, to before/ and to after/."""
    written = []
    for side, plan in (("before", change.before), ("after", change.after)):
        if plan.kind == "routing":
            written += write_plan(plan, None, directory / side)  # type: ignore[arg-type]
        else:
            written += write_near_data_plan(plan, directory / side)  # type: ignore[arg-type]
    return written


def write_fluid(path: "FluidPath", directory: Path) -> list[Path]:
    """Write fluid.png, .svg and .csv: workloads, total and V over time; tiers.csv."""
    changes = (
        {"time": change.time, "marginal_rate": tier.marginal_rate}
        | {"frontends": " ".join(tier.frontends), "backends": " ".join(tier.backends)}
        for change in path.tiers
        for tier in change.tiers
    )
    data = [write_rows(directory / "fluid.csv", path.rows())]
    data.append(write_rows(directory / "tiers.csv", changes))
    return [*write_picture(path.plot(), directory, "fluid"), *data]


def write_comparison(comparison: "Comparison", directory: Path) -> list[Path]:
    """Write policies, total_jobs and workloads (one per backend), each as .png, .svg and .csv."""
    from isocline.report.plots.workload import total_plot, workload_plot  # noqa: PLC0415

    written = _with_rows(comparison, directory, "policies")
    written += _totals(comparison, total_plot, directory, "total_jobs")
    if any(policy.workloads_over_time.size for policy in comparison.policies):
        written += write_picture(workload_plot(comparison), directory, "workloads")
        written.append(write_rows(directory / "workloads.csv", _workload_rows(comparison)))
    return written


def write_cluster(comparison: "ClusterComparison", directory: Path) -> list[Path]:
    """Write policies and tasks (over time), each as .png, .svg and .csv."""
    from isocline.report.plots.cluster import tasks_plot  # noqa: PLC0415

    written = _with_rows(comparison, directory, "policies")
    return written + _totals(comparison, tasks_plot, directory, "tasks")


def write_sweep(sweep: "LoadSweep[Any]", directory: Path) -> list[Path]:
    """Write latency.png, .svg and .csv: mean latency, or completion time, against load."""
    return _with_rows(sweep, directory, "latency")


def write_live(found: "LiveComparison", directory: Path) -> list[Path]:
    """Write live.png, .svg and .csv: one row for each policy."""
    data = write_rows(directory / "live.csv", map(_flat, found.rows()))
    return [*write_picture(found.plot(), directory, "live"), data]


def write_load(result: "LoadResult", directory: Path) -> list[Path]:
    """Write load.png, .svg and .csv: quantiles of durations."""
    rows = (
        {"of": name, "share": share, "seconds": seconds}
        for name, found in result.distributions().items()
        if found is not None
        for share, seconds in found.curve
    )
    data = write_rows(directory / "load.csv", rows)
    return [*write_picture(result.plot(), directory, "load"), data]


def write_run(result: "BatchResult", directory: Path) -> list[Path]:
    """Write timeline.png, .svg and .csv, nodes.csv, trace.json for ui.perfetto.dev, and run.json.

    run.json is the document of `isocline run --json`, with the timeline; `isocline report` makes a
    page of it.
    """
    return [
        *write_picture(result.plot(), directory, "timeline"),
        write_rows(directory / "timeline.csv", result.timeline.rows()),
        write_rows(directory / "nodes.csv", [row._asdict() for row in result.nodes()]),
        result.timeline.write_trace(directory / "trace.json"),
        write_record(result, directory / RECORD),
    ]


def write_reproduction(name: str, made: "Reproduction", directory: Path) -> list[Path]:
    """Write NAME.png and .svg, and the data of each part: NAME.csv or NAME-part.csv."""
    data = [
        write_rows(directory / f"{'-'.join(filter(None, (name, part)))}.csv", rows)
        for part, rows in made.tables.items()
    ]
    return write_picture(made.figure, directory, name) + data


def write_rows(path: Path, rows: Sequence[Row] | Iterable[Row]) -> Path:
    """Write a CSV whose header is the union of the rows' keys; returns its path."""
    rows = list(rows)
    header = list(dict.fromkeys(key for row in rows for key in row))
    # Names may be file names, which need not be UTF-8.
    with (
        _writing(path),
        replacing(path) as draft,
        draft.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_picture(figure: "Figure", directory: Path, stem: str) -> list[Path]:
    """Write STEM.png and .svg; warns once of characters for which no font is installed."""
    from isocline.report.plots.lettering import without_gaps  # noqa: PLC0415 - matplotlib, when needed
    from isocline.report.plots.style import house  # noqa: PLC0415

    paths = [directory / f"{stem}.{kind}" for kind in ("png", "svg")]
    with house(), without_gaps():
        for path in paths:
            # Without a date, so that the same run writes the same file.
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            with _writing(path), replacing(path) as draft:
                figure.savefig(draft, metadata=metadata)
    return paths


def _with_rows(record: Any, directory: Path, stem: str) -> list[Path]:
    """Write a record's picture and rows."""
    picture = write_picture(record.plot(), directory, stem)
    return [*picture, write_rows(directory / f"{stem}.csv", record.rows())]


def _write_text(path: Path, text: str) -> Path:
    with _writing(path):
        replace_text(path, text)
    return path


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Write a file in a directory that is made for it; raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from error


def _curve_rows(system: "RoutingSystem", known: "Mapping[str, Known]") -> Iterable[Row]:
    for backend in system.backends:
        found = known.get(backend.name)
        n = np.linspace(
            0.0, 3.0 * max(found.seen, 1) if found else 4.0 * knee_of(backend.curve), 101
        )
        rate = backend.curve.rate(n)
        ends = found.intervals(list(zip(n.tolist(), rate.tolist(), strict=True))) if found else None
        for i, marginal in enumerate(backend.curve.marginal(n)):
            row = {
                "backend": backend.name,
                "jobs": n[i],
                "rate": rate[i],
                "marginal_rate": marginal,
            }
            if found and ends:
                row |= {"low": ends[i][1], "high": ends[i][2], "extrapolated": n[i] > found.seen}
            yield row


def _observed_rows(known: "Mapping[str, Known]") -> Iterable[Row]:
    for name, found in known.items():
        for group in found.groups:
            yield {"backend": name} | group._asdict() | {"rate": group.rate}


def _totals(comparison: Any, draw: Any, directory: Path, stem: str) -> list[Path]:
    """Write totals over time of the policies that were run, in a comparison of either kind."""
    run = [policy for policy in comparison.results if policy.total_over_time.size]
    rows = (
        {"time": time} | {policy.policy: policy.total_over_time[i] for policy in run}
        for i, time in enumerate(comparison.times)
    )
    if not run:
        return []
    picture = write_picture(draw(comparison), directory, stem)
    return [*picture, write_rows(directory / f"{stem}.csv", rows)]


def _workload_rows(comparison: "Comparison") -> Iterable[Row]:
    for p in comparison.policies:
        for time, jobs in zip(comparison.times, p.workloads_over_time, strict=False):
            yield {"policy": p.policy, "time": time} | dict(
                zip(comparison.backends, jobs, strict=True)
            )


def _flat(row: Row) -> Row:
    """Entry of a document as one row, with intervals, jobs and the machine's part as columns."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{key}_{name}": entry for name, entry in value.items()}
        elif isinstance(value, list):
            flat |= {f"{key}_low": value[0], f"{key}_high": value[1]}
        else:
            flat[key] = value
    return flat
