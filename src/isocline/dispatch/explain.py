"""Explanation of a run's speed: who helped whom, what limits it, and what to copy where.

Demand and rates as they were measured make a cluster of the near-data model. Its plan
(`theory.near_data_plan`) says the rest: the capacity, and what one more holder of some data adds.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

from isocline.dispatch.demand import Demand, Holders
from isocline.dispatch.engines.contract import Node
from isocline.dispatch.records import LEVELS

if TYPE_CHECKING:
    from isocline.model.cluster import Cluster, Rates

# In place of a rate that no task has shown: a remote task takes twice as long as a local one, as
# in Section 6 of the near-data paper.
_SLOWDOWN = 2.0
_SHOWN = 3  # chunks named in one piece of advice


class Helped(NamedTuple):
    """Tasks that one node ran whose data another one holds; a share of each that several hold."""

    helper: str
    beneficiary: str
    tasks: float


class Copy(NamedTuple):
    """The data of all chunks with the same holders on one more node."""

    holders: Holders
    node: str
    chunks: tuple[str, ...]  # some of them, those that were asked for most often first
    capacity_scale: float  # with it


@final
@dataclass(frozen=True)
class Explanation:
    """What demand and rates, as measured, say; `str` has it in words."""

    elapsed: float  # s
    tasks: dict[str, int]  # finished, by level
    seconds: dict[str, float]  # that one takes at its node on average, by level, where measured
    helped: tuple[Helped, ...]  # as measured, the most first
    capacity_scale: float | None  # the largest factor on all tasks in the same time; None: unknown
    helpers: tuple[str, ...]  # nodes that have time to spare, if all is done as well as can be
    beneficiaries: tuple[str, ...]  # nodes whose data is asked for more often than they can serve
    bottleneck: tuple[str, ...]  # nodes that are overloaded at the capacity
    copies: tuple[Copy, ...]  # each for itself, the best first
    basis: str  # what was assumed, or why there is no capacity
    cold: int = 0  # tasks that were the first of a worker, or imported modules: in no rate
    cold_seconds: float = 0.0  # that these kept their nodes busy
    lost_seconds: float = 0.0  # that attempts without a result did

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            **vars(self),
            "helped": [entry._asdict() for entry in self.helped],
            "copies": [entry._asdict() for entry in self.copies],
        }

    def __str__(self) -> str:
        from isocline.dispatch.explained import sentences  # noqa: PLC0415 - it needs this module

        return "\n".join(sentences(self))


class _Planned(NamedTuple):
    """What a plan adds."""

    capacity_scale: float | None = None
    helpers: tuple[str, ...] = ()
    beneficiaries: tuple[str, ...] = ()
    bottleneck: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()


def explain(demand: Demand, nodes: Sequence[Node], elapsed: float) -> Explanation:
    """What a run shows so far.

    Args:
        demand: Its finished tasks.
        nodes: All that have been there to run them.
        elapsed: s, from the first submission to the last end.
    """
    seconds = {level: demand.seconds[level] / count for level, count in demand.measured.items()}
    helped = _helped(demand)
    planned, basis = _Planned(), "no task has finished whose chunk a node holds"
    if elapsed > 0 and any(demand.types.keys() - {()}):
        rates, basis = _rates(seconds, demand.tasks)
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
    """Time that each node had, on average, for tasks at the measured rates, s.

    The rest went to the first tasks of workers and to attempts without a result. Counted as time
    in which nodes had nothing to do, it would make a short run look idle that was busy throughout.
    """
    spent = (demand.cold_seconds + demand.lost_seconds) / max(nodes, 1)
    measured = sum(demand.seconds.values()) / max(nodes, 1)
    return min(max(elapsed - spent, measured, 1e-9), elapsed)


def _all_of_measured(demand: Demand) -> float:
    """All tasks over those whose time counts: only these were done in the time that was left."""
    tasks = sum(demand.tasks.values())
    return tasks / (tasks - demand.cold) if tasks > demand.cold else 1.0


def _rates(seconds: dict[str, float], tasks: Mapping[str, int]) -> tuple["Rates | None", str]:
    """Rates as measured or assumed, tasks/s, and what is to be said of them."""
    from isocline.model.cluster import Rates  # noqa: PLC0415 - numpy and scipy, when needed

    local, rack, remote = (seconds.get(level) for level in LEVELS)
    basis = ""
    if remote is None:
        remote = rack
    if remote is None and local is not None:
        remote = _SLOWDOWN * local
        ran = _unmeasured(tasks["remote"], "ran remotely")
        basis = f"{ran}; it is assumed that one takes {_SLOWDOWN:g} times as long"
    elif local is None and remote is not None:
        local = remote / _SLOWDOWN
        ran = _unmeasured(tasks["local"], "ran where its data is")
        basis = f"{ran}; it is assumed that one is {_SLOWDOWN:g} times as fast"
    if local is None or remote is None:
        return None, _unmeasured(1, "has finished")
    if not 0.0 < local < remote:
        return (
            None,
            "remote tasks took no longer than local ones, so it does not matter where data is",
        )
    between = 1.0 / rack if rack is not None and local < rack < remote else None
    return Rates(1.0 / local, 1.0 / remote, between), basis


def _unmeasured(tasks: int, ran: str) -> str:
    """Why a level has no service time: so many tasks ran there."""
    if not tasks:
        return f"no task {ran}"
    return f"no task {ran} but the first of a worker, or one that imported modules"


def _cluster(demand: Demand, nodes: Sequence[Node], rates: "Rates", elapsed: float) -> "Cluster":
    """The nodes and the tasks that were asked of them, as the near-data model has it."""
    import numpy as np  # noqa: PLC0415

    from isocline.model.cluster import Cluster, ExplicitTasks, Rates  # noqa: PLC0415
    from isocline.model.graph import CompatibilityGraph  # noqa: PLC0415

    rack_of = {node.name: node.rack or "" for node in nodes}
    known = set().union(*demand.types)  # a holder may never have been up
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
    from isocline.theory.near_data_plan import near_data_plan  # noqa: PLC0415

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


def _helped(demand: Demand) -> tuple[Helped, ...]:
    tasks: Counter[tuple[str, str]] = Counter()
    for (helper, holders, _), count in demand.helped.items():
        for holder in holders:
            tasks[helper, holder] += count / len(holders)  # type: ignore[assignment]
    return tuple(Helped(*pair, count) for pair, count in tasks.most_common())
