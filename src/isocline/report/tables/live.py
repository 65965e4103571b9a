"""Tables of policies compared live."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.demo.results import MOST_ADDED, LiveComparison, LivePolicy
from isocline.plural import counted
from isocline.report.tables.style import Column, names, table
from isocline.report.words import duration, estimate, number, time_unit

_BUSY = 0.7  # of a CPU core, from which on a process delays requests


def live_report(found: LiveComparison) -> RenderableType:
    """Report of `isocline demo`: latencies over the optimum, and jobs at each backend.

    If the machine was too slow, it shows the delays and no latencies.
    """
    if found.status != "measured":
        lines = [Text(line, style="red") for line in too_slow(found)]
        return Group(_machine(found), Text(), *lines)
    said = [Text(line, style="red") for line in live_problems(found)]
    conditions = Text(live_conditions(found), style="dim")
    return Group(_latencies(found), Text(), _jobs(found), Text(), *said, conditions)


def live_problems(found: LiveComparison) -> list[str]:
    """Sentences on problems that make figures less reliable."""
    lines = [
        f"{counted(count, 'request')} of {policy.policy} failed: {kind}"
        for policy in found.policies
        for kind, count in policy.errors.most_common()
    ]
    growing = [policy.policy for policy in found.policies if policy.growing]
    if growing:
        lines.append(
            f"Jobs still grew with {', '.join(growing)} (↑): the latency depends on the length of "
            "the measurement; give more --seconds, unless the policy is unstable"
        )
    return lines


def too_slow(found: LiveComparison) -> list[str]:
    """Sentences on why the machine is too slow, with the remedy."""
    added, best = duration(found.added), duration(found.lower_bound_latency)
    busy = max(sum(_cores(policy)) for policy in found.policies)
    return [
        f"This machine is too slow, or too busy, for {number(found.rate)} requests/s: it adds up "
        f"to {added} to each latency, while the optimum is {best}; at most "
        f"{100 * MOST_ADDED:g} % is acceptable.",
        f"All parts together use {busy:.2f} cores. End other programs, or give a lower --speed "
        f"than {found.speed:g}.",
    ]


def live_conditions(found: LiveComparison) -> str:
    """Conditions of the measurement, in sentences."""
    share = 100 * found.added / found.lower_bound_latency
    repeated = sum(policy.repeated for policy in found.policies)
    again = f" Repeated, as it was too slow: {counted(repeated, 'run')}." if repeated else ""
    return (
        f"Poisson arrivals at {number(found.rate)}/s, the same for each policy, in {found.rounds} "
        f"rounds of {found.window:g} s after {found.warmup:g} s of warm-up; fleet "
        f"{found.fleet} at load {found.load:g} and speed {found.speed:g}. "
        f"Optimum: the fluid's mean, {duration(found.lower_bound_latency)}, which no policy can "
        f"beat. ±: 95 % over rounds. The machine adds at most {number(share, 2)} % of the optimum."
        f"{again}"
    )


def _latencies(found: LiveComparison) -> Table:
    scale, unit = time_unit([found.lower_bound_latency])
    first = found.policies[0].policy
    columns: list[Column[LivePolicy]] = [
        names("policy", "policy"),
        Column(f"latency, {unit}", lambda p: estimate(p.mean_latency, scale) + " ↑" * p.growing),
        Column(f"p99, {unit}", lambda p: p.p99 / scale, number),
        Column("× optimum", "ratio_to_bound", estimate),
        Column(f"above {first}, {unit}", lambda p: estimate(p.difference, scale, signed=True)),
        Column("answered", lambda p: f"{p.answered:,} of {p.sent:,}"),
    ]
    best = min(policy.mean_latency.value for policy in found.policies)
    return table(
        f"fleet {found.fleet}, live",
        columns,
        found.policies,
        style=lambda p: "bold" if p.mean_latency.value == best else None,
    )


def _jobs(found: LiveComparison) -> Table:
    each = [("optimum", found.optimal_jobs), *((p.policy, p.jobs) for p in found.policies)]
    columns: list[Column[tuple[str, Sequence[float]]]] = [
        names("", lambda row: row[0]),
        *(
            Column(name, lambda row, b=b: number(row[1][b], 3))  # type: ignore[misc]
            for b, name in enumerate(found.backends)
        ),
    ]
    return table("mean jobs", columns, each, style=lambda row: "dim" if row is each[0] else None)


def _machine(found: LiveComparison) -> Table:
    columns: list[Column[LivePolicy]] = [
        names("policy", "policy"),
        Column("load", lambda p: _late(p.machine.send_lag, _cores(p)[0])),
        Column("router", lambda p: _late(p.machine.router_lag or 0.0, _cores(p)[1])),
        Column("backends", lambda p: _late(p.machine.backend_lag, _cores(p)[2])),
    ]
    return table("late at work, ms (cores used)", columns, found.policies)


def _late(seconds: float, cores: float) -> Text:
    style = "red" if cores > _BUSY else ""
    return Text(f"{number(1e3 * seconds, 3)} ({cores:.2f})", style=style)


def _cores(policy: LivePolicy) -> tuple[float, float, float]:
    machine = policy.machine
    return machine.send_cpu, machine.router_cpu or 0.0, machine.backend_cpu
