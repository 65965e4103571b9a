"""An explanation in sentences."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from isocline.plural import counted

if TYPE_CHECKING:
    from isocline.dispatch.explain import Copy, Explanation

_MOST = 3  # sentences of a kind; `to_dict` has all
_NAMES = 6
_WORTH = 0.005  # of the capacity, or of the time: less is not worth a sentence


def sentences(found: "Explanation") -> Iterator[str]:
    """What there is to say, the measured things first."""
    yield _tasks(found)
    yield from _apart(found)
    yield from _helped(found)
    if found.capacity_scale is None:
        yield f"What the nodes can do is not known: {found.basis}."
        return
    yield _load(found, found.capacity_scale)
    yield from _to_copy(found, found.capacity_scale)
    if found.basis:
        yield f"Not all of this is measured: {found.basis}."


def _tasks(found: "Explanation") -> str:
    parts = [
        f"{count:,} {level} ({_each(found.seconds.get(level))})"
        for level, count in found.tasks.items()
        if count
    ]
    total = sum(found.tasks.values())
    each = f": {_and(parts)}" if parts else ""
    return f"{counted(round(total), 'task')} in {_duration(found.elapsed)}{each}."


def _apart(found: "Explanation") -> Iterator[str]:
    """Time of nodes that is in no rate."""
    if found.cold:
        first, took = ("task was", "took") if found.cold == 1 else ("tasks were", "took on average")
        yield (
            f"{found.cold:,} {first} the first of a worker or imported modules, and {took} "
            f"{_duration(found.cold_seconds / found.cold)}, which is in no rate."
        )
    if found.lost_seconds > _WORTH * found.elapsed:
        yield f"Attempts without a result took {_duration(found.lost_seconds)} of nodes' time."


def _each(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{_duration(seconds)} each"


def _helped(found: "Explanation") -> Iterator[str]:
    gave: dict[str, float] = defaultdict(float)
    for helper, _, tasks in found.helped:
        gave[helper] += tasks
    ordered = sorted(gave.items(), key=lambda item: -item[1])
    for helper, tasks in ordered[:_MOST]:
        whose = [entry.beneficiary for entry in found.helped if entry.helper == helper]
        yield f"{helper} helped {_names(whose)} with {counted(round(tasks), 'task')}."
    if rest := ordered[_MOST:]:
        tasks = sum(tasks for _, tasks in rest)
        yield f"{counted(len(rest), 'more node')} helped with {counted(round(tasks), 'task')}."


def _load(found: "Explanation", scale: float) -> str:
    everybody = len(found.bottleneck) == len(found.helpers) + len(found.beneficiaries)
    at_one = (
        "all of them would be busy"
        if everybody
        else f"{_names(found.bottleneck)} would need more help than is left"
    )
    beside = " in the time that was left for it" if found.cold or found.lost_seconds else ""
    return f"Load {1.0 / scale:.3g} of what the nodes can do at these rates{beside}; at 1 {at_one}."


def _to_copy(found: "Explanation", scale: float) -> Iterator[str]:
    """Whether data has to be copied at this load, and what would raise the capacity."""
    worth = [copy for copy in found.copies if _gain(copy, scale) >= _WORTH]
    if not found.beneficiaries:
        yield (
            "Nothing has to be copied at this load: all tasks can be run where their data is."
            + (" For a higher one:" if worth else "")
        )
    elif not worth:
        yield "Nothing to copy: no single further holder of any data would raise that."
    for copy in worth[:_MOST]:
        yield _copy(copy, scale)


def _copy(copy: "Copy", now: float) -> str:
    verb = "holds" if len(copy.holders) == 1 else "hold"
    such = f", as {_and(copy.chunks)}," if copy.chunks else ""
    return (
        f"Copy what only {_names(copy.holders)} {verb}{such} to {copy.node}: "
        f"the nodes can do {_gain(copy, now):.1%} more."
    )


def _gain(copy: "Copy", now: float) -> float:
    """How much more the nodes can do with a copy, as a share."""
    return copy.capacity_scale / now - 1.0


def _names(names: Sequence[str]) -> str:
    more = [f"{len(names) - _NAMES} more"] if len(names) > _NAMES else []
    return _and([*names[:_NAMES], *more])


def _and(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
