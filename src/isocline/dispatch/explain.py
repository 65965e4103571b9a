"""Explanation of a run's speed: who helped whom, the bottleneck, and data worth copying.

Measured demand and rates form a cluster of the near-data model. Its plan
(`theory.scheduling.near_data_plan`) adds the capacity, and the gain by another holder of data.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

from isocline.dispatch.engines.base import Node
from isocline.dispatch.telemetry.demand import Demand, Holders
from isocline.dispatch.telemetry.records import LEVELS
from isocline.plural import counted
from isocline.record import in_notebook

if TYPE_CHECKING:
    from isocline.model.cluster import Cluster, Rates

# Assumed where nothing was measured: a remote task takes twice as long as a local one, as in
# Section 6 of the near-data paper, and one in the rack the geometric mean of the two.
_SLOWDOWN = 2.0
_SHOWN = 3  # chunks named per proposal


class Helped(NamedTuple):
    """Tasks that one node ran for another that holds their data, in parts if several hold it."""

    helper: str
    beneficiary: str
    tasks: float


class Copy(NamedTuple):
    """Proposal to copy the data of all chunks with the same holders to one more node."""

    holders: Holders
    node: str
    chunks: tuple[str, ...]  # some of the chunks, the most requested first
    capacity_scale: float  # capacity scale with the copy


@final
@dataclass(frozen=True)
class Explanation:
    """Findings from measured demand and rates; `str` gives them in words."""

    elapsed: float  # s
    tasks: dict[str, int]  # finished tasks by level
    seconds: dict[str, float]  # measured mean time of a task at its node, s, by level
    helped: tuple[Helped, ...]  # measured, the most tasks first
    capacity_scale: float | None  # factor on all tasks at which the load is 1; None: unknown
    helpers: tuple[str, ...]  # nodes with time to spare in the ideal load decomposition
    beneficiaries: tuple[str, ...]  # nodes with more local tasks than they can serve
    bottleneck: tuple[str, ...]  # nodes that fill up first
    copies: tuple[Copy, ...]  # alternatives, each by itself, the best first
    basis: str  # assumptions, or the reason why there is no capacity
    cold: int = 0  # tasks left out of rates: first of a worker, or importing modules
    cold_seconds: float = 0.0  # time for which these kept nodes busy, s
    lost_seconds: float = 0.0  # the same for attempts without a result, s

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data, for JSON."""
        return {
            **vars(self),
            "helped": [entry._asdict() for entry in self.helped],
            "copies": [entry._asdict() for entry in self.copies],
        }

    def __str__(self) -> str:

        return "\n".join(sentences(self))

    def _repr_html_(self) -> str:
        return in_notebook("explanation_html", self)


class _Planned(NamedTuple):
    """Findings of the plan."""

    capacity_scale: float | None = None
    helpers: tuple[str, ...] = ()
    beneficiaries: tuple[str, ...] = ()
    bottleneck: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()


def explain(demand: Demand, nodes: Sequence[Node], elapsed: float) -> Explanation:
    """Explain a run so far.

    Args:
        demand: Counts of finished tasks.
        nodes: All nodes that are or were up.
        elapsed: Time from the first submission to the last end, s.
    """
    seconds = demand.means()
    helped = help_given(demand.helped)
    planned, basis = _Planned(), "no task whose chunk a node holds has finished"
    if elapsed > 0 and any(demand.types.keys() - {()}):
        rates, basis = _rates(seconds, demand.tasks, racked=_shared_racks(nodes))
        if rates is not None:
            left = _left(demand, len(nodes), elapsed) * _all_of_measured(demand)
            planned = _planned(_cluster(demand, nodes, rates, left), demand)
    return Explanation(
        elapsed,
        {level: demand.tasks[level] for level in LEVELS},
        seconds,
        helped,
        *planned,
        basis,
        demand.cold,
        demand.cold_seconds,
        demand.lost_seconds,
    )


def _left(demand: Demand, nodes: int, elapsed: float) -> float:
    """Mean time per node that was left for tasks at the measured rates, s.

    The rest went to the first tasks of workers and to attempts without a result. If it counted as
    idle time, a short run that was busy throughout would look idle.
    """
    spent = (demand.cold_seconds + demand.lost_seconds) / max(nodes, 1)
    measured = sum(demand.seconds.values()) / max(nodes, 1)
    return min(max(elapsed - spent, measured, 1e-9), elapsed)


def _all_of_measured(demand: Demand) -> float:
    """Ratio of all tasks to those whose time counts."""
    tasks = sum(demand.tasks.values())
    return tasks / (tasks - demand.cold) if tasks > demand.cold else 1.0


def _shared_racks(nodes: Sequence[Node]) -> bool:
    """Whether there are several racks, one of them with several nodes."""
    racks = Counter(node.rack for node in nodes)
    return 1 < len(racks) < len(nodes)


def _rates(
    seconds: dict[str, float], tasks: Mapping[str, int], *, racked: bool
) -> tuple["Rates | None", str]:
    """Measured or assumed rates, tasks/s, and remarks on them; `racked`: also of racks."""
    from isocline.model.cluster import Rates  # noqa: PLC0415 - numpy and scipy, when needed

    local, rack, remote = (seconds.get(level) for level in LEVELS)
    assumed = []
    if remote is None and rack is not None:
        remote = rack
        if racked and local is not None:
            remote = rack * max(rack / local, 1.0)
            ran = _unmeasured(tasks["remote"], "ran in another rack")
            assumed.append(f"{ran}; it is assumed to lose as much again as one within the rack")
    if remote is None and local is not None:
        remote = _SLOWDOWN * local
        ran = _unmeasured(tasks["remote"], "ran remotely")
        assumed.append(f"{ran}; it is assumed that one takes {_SLOWDOWN:g} times as long")
    elif local is None and remote is not None:
        local = remote / _SLOWDOWN
        ran = _unmeasured(tasks["local"], "ran where its data is")
        assumed.append(f"{ran}; it is assumed that one is {_SLOWDOWN:g} times as fast")
    if local is None or remote is None:
        return None, _unmeasured(1, "has finished")
    if not 0.0 < local < remote:
        return (
            None,
            "remote tasks took no longer than local ones, so it does not matter where data is",
        )
    if racked and rack is None:
        rack = (local * remote) ** 0.5
        ran = _unmeasured(tasks["rack"], "ran in the rack of its data")
        assumed.append(f"{ran}; the geometric mean of local and remote is assumed")
    between = 1.0 / rack if rack is not None and local < rack < remote else None
    return Rates(1.0 / local, 1.0 / remote, between), "; ".join(assumed)


def _unmeasured(tasks: int, ran: str) -> str:
    """Reason why a level has no measured service time although `tasks` ran at it."""
    if not tasks:
        return f"no task {ran}"
    return f"no task {ran} except first tasks of workers, and tasks that imported modules"


def _cluster(demand: Demand, nodes: Sequence[Node], rates: "Rates", elapsed: float) -> "Cluster":
    """Near-data model of the nodes and their tasks."""
    import numpy as np  # noqa: PLC0415

    from isocline.model.cluster import Cluster, ExplicitTasks, Rates  # noqa: PLC0415
    from isocline.model.graph import CompatibilityGraph  # noqa: PLC0415

    rack_of = {node.name: node.rack or "" for node in nodes}
    known = set().union(*demand.types)  # a holder may never have come up
    names = [*rack_of, *sorted(known - rack_of.keys())]
    racks = sorted({rack_of.get(name, "") for name in names})
    if len(racks) == 1:
        rates = Rates(rates.local, rates.remote)
    number = {name: m for m, name in enumerate(names)}
    asked = {holders: count for holders, count in demand.types.items() if holders}
    return Cluster(
        tuple(names),
        np.array([racks.index(rack_of.get(name, "")) for name in names]),
        tuple(racks),
        rates,
        ExplicitTasks(
            CompatibilityGraph.from_neighbours(
                len(names), [[number[name] for name in holders] for holders in asked]
            ),
            np.array(list(asked.values())) / elapsed,
        ),
    )


def _planned(cluster: "Cluster", demand: Demand) -> _Planned:
    from isocline.theory.scheduling.near_data_plan import near_data_plan  # noqa: PLC0415

    plan = near_data_plan(cluster)
    copies = []
    for advice in plan.replicate:
        holders = tuple(sorted(map(str, advice.servers)))
        chunks = tuple(demand.chunks_of(holders, _SHOWN))
        copies.append(Copy(holders, str(advice.server), chunks, advice.capacity_scale))
    return _Planned(
        plan.capacity_scale,
        tuple(map(str, plan.helpers)),
        tuple(map(str, plan.beneficiaries)),
        tuple(map(str, plan.bottleneck)),
        tuple(copies),
    )


def help_given(helped: Mapping[tuple[str, Holders, str], int]) -> tuple[Helped, ...]:
    """Tasks by helper and beneficiary, most first; `helped` is as in `Demand`."""
    tasks: Counter[tuple[str, str]] = Counter()
    for (helper, holders, _), count in helped.items():
        for holder in holders:
            tasks[helper, holder] += count / len(holders)  # type: ignore[assignment]
    return tuple(Helped(*pair, count) for pair, count in tasks.most_common())


_MOST = 3  # sentences of one kind; `to_dict` has all
_NAMES = 6
_WORTH = 0.005  # share of the capacity, or of the time, that is worth a sentence


def sentences(found: "Explanation") -> Iterator[str]:
    """Sentences of an explanation, measurements first."""
    yield _tasks(found)
    yield from _apart(found)
    yield from _explained_helped(found)
    if found.capacity_scale is None:
        yield f"The capacity of the nodes is unknown: {found.basis}."
        return
    yield _load(found, found.capacity_scale)
    yield from _to_copy(found, found.capacity_scale)
    if found.basis:
        yield f"Not all of this was measured: {found.basis}."


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
    """Describe the nodes' time that is left out of rates."""
    if found.cold:
        first, took = ("task was", "took") if found.cold == 1 else ("tasks were", "took on average")
        yield (
            f"{found.cold:,} {first} the first of a worker or imported modules, and {took} "
            f"{_duration(found.cold_seconds / found.cold)}; rates leave this out."
        )
    if found.lost_seconds > _WORTH * found.elapsed:
        yield f"Attempts without a result took {_duration(found.lost_seconds)} of nodes' time."


def _each(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{_duration(seconds)} each"


def _explained_helped(found: "Explanation") -> Iterator[str]:
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
        "all nodes would be busy"
        if everybody
        else f"{_names(found.bottleneck)} would need more help than is left"
    )
    beside = " in the remaining time" if found.cold or found.lost_seconds else ""
    return f"Load {1.0 / scale:.3g} of the capacity at these rates{beside}; at load 1, {at_one}."


def _to_copy(found: "Explanation", scale: float) -> Iterator[str]:
    """State whether data must be copied at this load, and which copies raise the capacity."""
    worth = [copy for copy in found.copies if _gain(copy, scale) >= _WORTH]
    if not found.beneficiaries:
        yield (
            "No data needs to be copied at this load: all tasks can run where their data is."
            + (" For a higher load:" if worth else "")
        )
    elif not worth:
        yield "Nothing to copy: no single additional holder would raise the capacity."
    for copy in worth[:_MOST]:
        yield _copy(copy, scale)


def _copy(copy: "Copy", now: float) -> str:
    verb = "holds" if len(copy.holders) == 1 else "hold"
    such = f", such as {_and(copy.chunks)}," if copy.chunks else ""
    return (
        f"Copy the data that only {_names(copy.holders)} {verb}{such} to {copy.node}: "
        f"the capacity grows by {_gain(copy, now):.1%}."
    )


def _gain(copy: "Copy", now: float) -> float:
    """Relative gain of capacity by a copy."""
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
