"""Words and tables of an audit: the verdict in a sentence, then what it rests on."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.audit.narrowing import Unknown
from isocline.audit.result import (
    Advice,
    Audit,
    AuditedBackend,
    AuditedFrontend,
    LogSummary,
    Part,
    PolicyAudit,
)
from isocline.plural import counted
from isocline.report.tables.style import MOST_ROWS, Column, names, table
from isocline.report.words import duration, listed, number, percent
from isocline.simulate.common.estimate import Estimate

PARTS = {
    "missing": "missing connections",
    "routing": "routing",
    "fluctuation": "fluctuation",
    "held": "waiting at the router",
    "outside": "outside the backends",
}
_MEANING = {
    "missing": "frontends may not use all backends",
    "routing": "the mean split is not the optimal one",
    "fluctuation": "workloads vary about their means; no router avoids all of it",
    "held": "requests wait in the router's own queue",
    "outside": "the way to the client, retries, the router itself",
}
_OURS = "gmsr_secant"  # what isocline serve goes by
_LEAST_POINT = 1.0  # points below which a part is not worth a word
_SHOWN = 0.05  # points below which a part is rounding
_MOST_ADVICE = 6
_OFTEN = 0.25  # of the time at a workload, so that more of the same helps
_APART = 0.02  # of the latency: means of all requests and of the replayed ones that are two
_OVERLOADED = 5.0  # times the log's latency: what a policy gives that overloads backends


def audit_report(found: Audit) -> RenderableType:
    """What `isocline audit` prints."""
    parts: list[RenderableType | None] = [
        Text(verdict(found), style="bold"),
        _parts_table(found),
        _policies_table(found),
        _unknowns_text(found.unknowns) if found.policies else None,
        _backends_table(found.backends),
        _frontends_text(found),
        _advice_table(found.advice),
        _cautions_text(found.cautions),
        Text(log_line(found.log), style="dim"),
    ]
    return Group(*(line for part in parts if part is not None for line in (part, Text())))


def verdict(found: Audit) -> str:
    """The findings in two or three sentences."""
    said = []
    if found.above is None or found.least is None:
        said.append(f"Mean latency {duration(found.latency)}; no optimum: {found.why_not}.")
    elif not found.steady:
        said.append(
            f"Mean latency {duration(found.latency)}, while requests piled up or went down: far "
            f"from steady, so that the optimum, about {duration(found.least.value, 1)} at the rate "
            "at which requests ended, is rough."
        )
    else:
        shown = sorted(found.parts, key=lambda it: -abs(it.points.value))
        shown = [it for it in shown if abs(it.points.value) >= _LEAST_POINT and _measured(it)]
        words = ", ".join(f"{it.points.value:.0f} {PARTS[it.name]}" for it in shown)
        points = words.replace(" ", " points ", 1) if words else ""
        said.append(
            f"Mean latency {duration(found.latency)} is {found.above.value:.0f} % "
            f"({_range(found.above, 0)}) above the optimum of {duration(found.least.value)}"
            f"{': ' + points if points else ''}."
        )
    ours = next((it for it in found.policies if it.policy == _OURS), None)
    if ours is not None:
        saved = 100.0 * ours.saving.value
        less = "less" if saved >= 0 else "more"
        low, high = sorted((100.0 * ours.saving.low, 100.0 * ours.saving.high))
        if less == "more":
            low, high = -high, -low
        # The last requests alone, which were slower where requests piled up.
        apart = abs(found.replayed_latency - found.latency) > _APART * found.latency
        instead = f" in place of {duration(found.replayed_latency)}" if apart else ""
        said.append(
            f"On the same arrivals Isocline's {_OURS} would have given "
            f"{duration(ours.latency.value)}{instead}: {abs(saved):.0f} % {less} "
            f"({low:.0f} to {high:.0f})"
            f"{', too little to be told from none' if low < 0.0 < high else ''}."
        )
    best = next(iter(found.advice), None)
    if best is not None and best.points.low > 0:
        said.append(f"What would help most: {_change(best)}, {duration(best.seconds.value)} less.")
    return "\n".join(said)


def log_line(log: LogSummary) -> str:
    """Facts of the log in words."""
    said = [
        f"{listed(log.files)} ({', '.join(log.formats)}): {counted(log.requests, 'request')} in "
        f"{number(log.seconds)} s, {log.served:,} served, {log.failed:,} failed, "
        f"{log.abandoned:,} given up by clients, {log.retried:,} retried"
    ]
    if log.without_backend:
        said.append(
            f"{counted(log.without_backend, 'request')} went to no backend, or to none that ever "
            "served"
        )
    if log.pauses[0]:
        said.append(
            f"{counted(log.pauses[0], 'pause')} of {number(log.pauses[1])} s in all cut out"
        )
    if log.doubled:
        said.append(f"{counted(log.doubled, 'request')} that two files have count once")
    if log.tokens_of_a_job is not None:
        said.append(f"a job is {number(log.tokens_of_a_job)} tokens on average")
    if log.unread:
        lines = counted(log.unread, "line")
        said.append(f"{lines} of {log.lines:,} could not be read, the first {log.first_unread}")
    return ".\n".join(said) + "."


def _parts_table(found: Audit) -> RenderableType | None:
    if not found.parts or not found.steady:
        return None
    columns: list[Column[Part]] = [
        names("part of the mean latency", lambda it: PARTS[it.name]),
        Column("time", lambda it: duration(it.seconds.value) if _measured(it) else "–"),
        Column(
            "points", lambda it: f"{it.points.value:.1f}" if _measured(it) else "none measurable"
        ),
        Column("between", lambda it: _range(it.points, 1)),
        names("what it is", lambda it: _MEANING[it.name]),
    ]
    shown = [it for it in found.parts if abs(it.points.value) >= _SHOWN]
    return table("Above the optimum, in points of 1 % of it", columns, shown)


def _measured(it: Part) -> bool:
    """Whether there is such a part; less than none is the log's noise, unless it is sure."""
    return it.points.value >= 0.0 or it.points.high < 0.0


def _policies_table(found: Audit) -> RenderableType | None:
    if not found.policies:
        return None
    log = PolicyAudit(
        "the log itself",
        Estimate(found.replayed_latency, float("nan"), float("nan")),
        found.replayed_p99,
        Estimate(0.0, float("nan"), float("nan")),
    )
    rows = [log, *sorted(found.policies, key=lambda it: it.latency.value)]
    columns: list[Column[PolicyAudit]] = [
        names("policy", "policy"),
        Column("mean latency", lambda it: duration(it.latency.value, 4)),
        Column("between", lambda it: "" if it is log else _times(it.latency)),
        Column("p99", lambda it: "–" if it.p99 is None else duration(it.p99)),
        Column("saves", lambda it: "" if it is log else _saves(it, found.replayed_latency)),
        Column("between ", lambda it: "" if it is log else _shares(it, found.replayed_latency)),
    ]
    title = f"The last {found.replayed:,} requests under other policies, simulated on the curves"
    return table(title, columns, rows)


def _saves(it: PolicyAudit, log: float) -> str:
    return "overloads" if it.latency.value > _OVERLOADED * log else percent(it.saving.value)


def _shares(it: PolicyAudit, log: float) -> str:
    if it.latency.value > _OVERLOADED * log:
        return ""
    return f"{100.0 * it.saving.low:.0f} to {100.0 * it.saving.high:.0f} %"


def _unknowns_text(unknowns: Sequence[Unknown]) -> RenderableType | None:
    """What to log for narrower intervals."""
    if not unknowns:
        return None
    lines = [
        f"  {it.backend} near N = {it.jobs:.0f}: {100 * it.share:.0f} % of the uncertainty. "
        + (
            f"The log has it there {100 * it.seen:.0f} % of the time; four times as long a log "
            "halves the interval."
            if it.seen >= _OFTEN
            else f"The log has it there {100 * it.seen:.0f} % of the time, and mostly at "
            f"{it.usual[0]} to {it.usual[1]}; log hours in which it has that many."
        )
        for it in unknowns
    ]
    return Text("\n".join(["What would narrow these intervals:", *lines]))


def _backends_table(backends: Sequence[AuditedBackend]) -> RenderableType:
    columns: list[Column[AuditedBackend]] = [
        names("backend", "name"),
        Column("completions", "completions", number),
        Column("jobs/s", "rate", number),
        Column("mean N", "jobs", number),
        Column("latency", "latency", duration),
        names("peak, jobs/s", _peak),
        Column("seen up to", lambda it: f"N = {it.known.seen}"),
    ]
    return table("Backends, with what is known of their curves", columns, backends, most=MOST_ROWS)


def _peak(it: AuditedBackend) -> str:
    if it.peak.high is None:
        return f"at least {number(it.peak.low, 3)}"
    where = f", at N = {it.known.cut}" if it.known.cut is not None else ""
    return f"{number(it.peak.low, 3)} to {number(it.peak.high, 3)}{where}"


def _frontends_text(found: Audit) -> RenderableType:
    told = {
        "log": "who may use whom is taken from the log: the backends that requests ever went to",
        "edges": "as --edges says",
        "system": "as the system file says",
    }[found.edges_from]
    count = len(found.backends)
    if len(found.frontends) == 1 and len(found.frontends[0].backends) == count:
        return Text(f"One frontend, which uses all {counted(count, 'backend')} ({told}).")
    columns: list[Column[AuditedFrontend]] = [
        names("frontend", "name"),
        Column("jobs/s", "rate", number),
        names("uses", lambda it: listed(it.backends)),
        names("requests of", lambda it: listed(it.origins, 4)),
    ]
    return table(f"Frontends; {told}", columns, found.frontends, most=MOST_ROWS)


def _advice_table(advice: Sequence[Advice]) -> RenderableType | None:
    if not advice:
        return None
    columns: list[Column[Advice]] = [
        names("change", _change),
        Column("saves", lambda it: duration(it.seconds.value)),
        Column("between", lambda it: _times(it.seconds)),
        Column("points", lambda it: f"{it.points.value:.0f}"),
    ]
    return table("What would help, at the optimum", columns, advice, most=_MOST_ADVICE)


def _change(it: Advice) -> str:
    if it.kind == "connection":
        return f"let {it.names[0]} use {it.names[1]}"
    return f"one more machine like {listed(it.names, 3)}"


def _cautions_text(cautions: Sequence[str]) -> RenderableType | None:
    if not cautions:
        return None
    return Text("\n".join(f"Caution: {caution}" for caution in cautions))


def _range(found: Estimate, decimals: int) -> str:
    return f"{found.low:.{decimals}f} to {found.high:.{decimals}f}"


def _times(found: Estimate) -> str:
    return f"{duration(max(found.low, 0.0))} to {duration(found.high)}"
