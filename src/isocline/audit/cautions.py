"""Cautions: what a log cannot show, and what of the findings is to be doubted."""

from collections.abc import Sequence

from isocline.audit.clocks import skew
from isocline.audit.reading import Log
from isocline.audit.result import AuditedBackend
from isocline.errors import IsoclineError
from isocline.model.fleet import RoutingSystem
from isocline.plural import first_of
from isocline.theory.routing.equilibrium import fluid_optimum

# Completions from which a curve's error is some per cent.
_FEW = 500
# Share of the time with jobs that a backend spends at one workload, so that others say little.
_ONE = 0.98
# Parts of the log in which a backend was so much slower or faster than on average.
_SLOWER, _FASTER = 0.9, 1.1
# Share of requests that were not served, which policies are not compared on.
_LOST = 0.02
# Requests by which those under way grow: as a share of those that ended, and in all.
_GROWN, _MANY = 0.05, 20
_SHOWN = 4


def cautions_on(
    log: Log,
    window: tuple[float, float],
    backends: Sequence[AuditedBackend],
    system: RoutingSystem,
) -> tuple[str, ...]:
    """Everything that is to be said of a log, the gravest first.

    Args:
        log: What was read.
        window: Times, s, between which all workloads are known.
        backends: What was found of each.
        system: Their curves.
    """
    found = [
        _clocks(log, backends),
        _growing(log, window),
        _few(backends),
        _still(backends),
        _unbent(backends),
        _beyond(backends, system),
        _changed(backends),
        _unserved(log),
        _coarse(log, backends),
    ]
    return tuple(filter(None, found))


def is_steady(log: Log, window: tuple[float, float]) -> bool:
    """Whether about as many requests are under way at the window's end as at its beginning."""
    before, after, ended = _under_way(log, window)
    return abs(after - before) <= max(_GROWN * ended, _MANY)


def _under_way(log: Log, window: tuple[float, float]) -> tuple[int, int, int]:
    """Requests under way at the window's ends, and those that ended within."""
    start, end = log.records.start, log.records.end
    before, after = (int(((start <= at) & (end > at)).sum()) for at in window)
    return before, after, int(((end > window[0]) & (end <= window[1])).sum())


def _growing(log: Log, window: tuple[float, float]) -> str:
    """The parts take the mean of the workloads for a steady one: by Little's law, N / rate."""
    before, after, ended = _under_way(log, window)
    if is_steady(log, window):
        return ""
    doubt = (
        "more came than were served, so that some backend was overloaded. Those that were not "
        "served in this time are missing from the mean latency, which would be longer"
        if after > before
        else "many that were served had come before"
    )
    return (
        f"The requests under way go from {before:,} to {after:,}, beside {ended:,} that ended: "
        f"{doubt}. The optimum and the parts are those of the rate at which requests ended, and "
        "rough."
    )


def _few(backends: Sequence[AuditedBackend]) -> str:
    few = [it for it in backends if it.completions < _FEW]
    if not few:
        return ""
    listed = first_of([f"{it.name} ({it.completions:,})" for it in few], _SHOWN)
    return (
        f"Too few completions for a curve: {listed}. What is said of these backends is mostly "
        "what the others are like; log for longer, to about 2,000 completions each."
    )


def _still(backends: Sequence[AuditedBackend]) -> str:
    still = []
    for it in backends:
        spent = it.known.seconds[1:]
        if spent.sum() > 0 and spent.max() >= _ONE * spent.sum():
            still.append(f"{it.name} (N = {int(spent.argmax()) + 1})")
    if not still:
        return ""
    return (
        f"The workload hardly varies at {first_of(still, _SHOWN)}: only its rate there is known, "
        "not how it changes with one job more, so that neither the best split nor the "
        "capacity can be told. A log with busier and quieter times is needed."
    )


def _unbent(backends: Sequence[AuditedBackend]) -> str:
    names = [it.name for it in backends if it.peak.high is None and it.known.seen]
    if not names:
        return ""
    return (
        f"No bend was seen in the curve of {first_of(names, _SHOWN)}: what it can serve at most is "
        "not known."
    )


def _beyond(backends: Sequence[AuditedBackend], system: RoutingSystem) -> str:
    try:
        best = fluid_optimum(system).workloads
    except IsoclineError:
        return ""
    beyond = [
        f"{it.name} (N = {jobs:.0f}, seen up to {it.known.seen})"
        for it, jobs in zip(backends, best.tolist(), strict=True)
        if jobs > max(it.known.seen, 1)
    ]
    if not beyond:
        return ""
    return (
        f"The optimum gives more jobs than were ever seen there to {first_of(beyond, _SHOWN)}: "
        "there the curve is extrapolated."
    )


def _changed(backends: Sequence[AuditedBackend]) -> str:
    changed = [
        f"{it.name} ({it.speed[0]:.2f} to {it.speed[1]:.2f} of its mean)"
        for it in backends
        if it.speed[0] < _SLOWER or it.speed[1] > _FASTER
    ]
    if not changed:
        return ""
    return (
        f"The speed changes within the log at {first_of(changed, _SHOWN)}: other work on "
        "the machine, other routers that send to it, or requests of another kind. The curve "
        "is that of the mean."
    )


def _unserved(log: Log) -> str:
    unserved = 1.0 - float(log.records.served.mean())
    if unserved <= _LOST:
        return ""
    return (
        f"{unserved:.1%} of the requests failed or were given up by their clients. They count in "
        "the workloads, and neither in the mean latency nor in the comparison of policies."
    )


def _clocks(log: Log, backends: Sequence[AuditedBackend]) -> str:
    """What a machine holds is the sum of what its routers do, if they agree on the time."""
    if not log.routers:
        return ""
    short = min(it.latency for it in backends)
    files = [log.files.index(name) for name in log.routers]
    for other in files[1:]:
        seconds = skew(log.records, files[0], other)
        if seconds is not None:
            return (
                f"The clock of {log.files[other]} seems to be {abs(seconds):.3g} s "
                f"{'ahead of' if seconds > 0 else 'behind'} that of {log.files[files[0]]}: "
                "requests of both slow each other down the most so. Shift its times; until then "
                "all findings are of no use."
            )
    return (
        f"{first_of(log.routers, _SHOWN)} are of the same time, as of several routers: their "
        f"clocks must agree to well below the {1e3 * short:.3g} ms that a request takes, or "
        "workloads, and with them the curves, are blurred. All routers that "
        "send to these machines must be among them."
    )


def _coarse(log: Log, backends: Sequence[AuditedBackend]) -> str:
    if not log.coarse:
        return ""
    short = min(it.latency for it in backends)
    doubt = (
        " Requests are shorter than that, so that workloads, and with them the curves, are blurred."
        if short < 2.0
        else ""
    )
    return f"Times are to the second; log $msec, or the milliseconds.{doubt}"
