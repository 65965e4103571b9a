"""Policies compared live, as tables."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from isocline.demo.results import MOST_ADDED, LiveComparison, LivePolicy
from isocline.plural import counted
from isocline.report.tables.style import table
from isocline.report.words import duration, estimate, number, time_unit

_BUSY = 0.7  # of a core: from here on a process keeps requests waiting


def live_report(found: LiveComparison) -> RenderableType:
    """What `isocline demo` prints: latencies over the optimum, and where the jobs were.

    Of a machine that was too slow it shows what was late, and no latency.
    """
    if found.status != "measured":
        lines = [Text(line, style="red") for line in too_slow(found)]
        return Group(_machine(found), Text(), *lines)
    said = [Text(line, style="red") for line in live_problems(found)]
    conditions = Text(live_conditions(found), style="dim")
    return Group(_latencies(found), Text(), _jobs(found), Text(), *said, conditions)


def live_problems(found: LiveComparison) -> list[str]:
    """One sentence for each thing that makes a figure less than it seems."""
    lines = [
        f"{counted(count, 'request')} of {policy.policy} failed: {kind}"
        for policy in found.policies
        for kind, count in policy.errors.most_common()
    ]
    growing = [policy.policy for policy in found.policies if policy.growing]
    if growing:
        lines.append(
            f"Jobs still grew with {', '.join(growing)} (↑): its latency depends on how long is "
            "measured; give more --seconds, unless it is unstable"
        )
    return lines


def too_slow(found: LiveComparison) -> list[str]:
    """What the machine cannot do, and the remedy."""
    added, best = duration(found.added), duration(found.lower_bound_latency)
    busy = max(sum(_cores(policy)) for policy in found.policies)
    return [
        f"This machine is too slow, or too busy, for {number(found.rate)} requests/s: it adds up "
        f"to {added} to each latency, of which {best} are possible; at most "
        f"{100 * MOST_ADDED:g} % would do.",
        f"All parts together use {busy:.2f} cores. End what else runs, or give a lower --speed "
        f"than {found.speed:g}.",
    ]


def live_conditions(found: LiveComparison) -> str:
    """How it was measured, in sentences."""
    share = 100 * found.added / found.lower_bound_latency
    repeated = sum(policy.repeated for policy in found.policies)
    again = f" {repeated} runs in which it was too slow were made again." if repeated else ""
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
    made = table(
        f"fleet {found.fleet}, live",
        [
            ("policy", "left"),
            (f"latency, {unit}", "right"),
            (f"p99, {unit}", "right"),
            ("× optimum", "right"),
            (f"above {first}, {unit}", "right"),
            ("answered", "right"),
        ],
    )
    best = min(policy.mean_latency.value for policy in found.policies)
    for policy in found.policies:
        made.add_row(
            policy.policy,
            estimate(policy.mean_latency, scale) + " ↑" * policy.growing,
            number(policy.p99 / scale),
            estimate(policy.ratio_to_bound),
            estimate(policy.difference, scale, signed=True),
            f"{policy.answered:,} of {policy.sent:,}",
            style="bold" if policy.mean_latency.value == best else None,
        )
    return made


def _jobs(found: LiveComparison) -> Table:
    made = table("mean jobs", [("", "left"), *((name, "right") for name in found.backends)])
    made.add_row("optimum", *(number(jobs, 3) for jobs in found.optimal_jobs), style="dim")
    for policy in found.policies:
        made.add_row(policy.policy, *(number(jobs, 3) for jobs in policy.jobs))
    return made


def _machine(found: LiveComparison) -> Table:
    made = table(
        "late at work, ms (cores used)",
        [("policy", "left"), ("load", "right"), ("router", "right"), ("backends", "right")],
    )
    for policy in found.policies:
        machine = policy.machine
        late = (machine.send_lag, machine.router_lag or 0.0, machine.backend_lag)
        parts = zip(late, _cores(policy), strict=True)
        cells = [_late(seconds, cores) for seconds, cores in parts]
        made.add_row(policy.policy, *cells)
    return made


def _late(seconds: float, cores: float) -> Text:
    style = "red" if cores > _BUSY else ""
    return Text(f"{number(1e3 * seconds, 3)} ({cores:.2f})", style=style)


def _cores(policy: LivePolicy) -> tuple[float, float, float]:
    machine = policy.machine
    return machine.send_cpu, machine.router_cpu or 0.0, machine.backend_cpu
