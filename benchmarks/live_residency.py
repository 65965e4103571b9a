"""Models in memory: the router's core against rivals, `python -m benchmarks.live_residency`.

24 emulated backends that stand still while they load, of one speed or of three, 105 models asked
for by Zipf's law, and memory for some at each, equal for all contestants. The core decides as in
`isocline serve`, by calls that load and unload; backends load on demand for the rivals, and drop
what was used the longest time ago: affinity (the holder with the fewest jobs, or the backend with
the fewest once that has so many more), shuffle sharding (the fewest jobs of k that a hash gives),
and rendezvous hashing, plain and with bounded loads. Rivals know capacities: jobs count per
capacity, and hashes are weighted by it. Beside them stands the core with all models at all
backends, which is as good as memory can be. All see the same requests, after a warm-up, on virtual
time: core and emulator are those of the product, and what lies between them, sockets, is left out.
Of each kind of rival several parameters run, and the best by p99 counts.

Then the core at 0.97 of the capacity that a plan says is usable. Pieces of a few minutes: `--cells
0 1 2`, and `--usable` alone.
"""

import argparse
import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, final

import numpy as np

import isocline
from isocline.emulator.completion_request import ApiError
from isocline.emulator.engine import Engine
from isocline.emulator.generation import Generation
from isocline.emulator.settings import Settings
from isocline.gateway.core.actions import Action, Close, Reject, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.cache_homes import uniform
from isocline.gateway.core.model_catalogue import KnownModel
from isocline.gateway.core.model_memory import ModelCall
from isocline.gateway.core.request import Profile
from isocline.gateway.core.residency import ResidencySetting
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.residency import Model
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse

BACKENDS, MODELS = 24, 105
FLEETS: dict[str, list[Curve]] = {
    "one speed": [HyperbolicCurve(5.0, 4.0)] * 24,  # jobs/s: one alone takes 1 s
    "three speeds": [
        curve
        for curve in (KneeCurve(8.0, 6.0, 2.0), KneeCurve(4.0, 4.0, 2.0), KneeCurve(2.0, 3.0, 2.0))
        for _ in range(8)
    ],
}
FEWER_LOADS, LOWER_P99 = 0.30, 0.25  # the goal
MOST = 3000  # requests under way; a contestant with more is unstable
OURS = "gmsr_secant", "least_expected_latency"


class Setup(NamedTuple):
    """Load, memory and length of a run."""

    fleet: str
    memory: float
    load: float  # s, of each model
    share: float  # of capacity
    warmup: float = 60.0  # s
    length: float = 100.0  # s, measured
    seed: int = 0

    @property
    def curves(self) -> list[Curve]:
        """Of the backends."""
        return FLEETS[self.fleet]

    def system(self) -> RoutingSystem:
        """The system, at all that its backends can serve, times the load."""
        rate = self.share * sum(curve.supremum for curve in self.curves)
        return RoutingSystem(
            (Frontend("all", PoissonArrivals(rate)),),
            tuple(Backend(f"b{i}", it, memory=self.memory) for i, it in enumerate(self.curves)),
            CompatibilityGraph.from_neighbours(BACKENDS, [range(BACKENDS)]),
            models=(Model("m*", load=self.load, count=MODELS, zipf=1.0),),
        )


CELLS = [
    Setup(fleet, memory, load, share)
    for fleet in FLEETS
    for memory, load, share in (
        (6.0, 1.0, 0.3),
        (6.0, 1.0, 0.6),
        (6.0, 4.0, 0.5),
        (4.0, 1.0, 0.6),
        (8.0, 1.0, 0.8),
        (8.0, 4.0, 0.3),
    )
]


class Arrival(NamedTuple):
    """One request."""

    time: float
    model: int
    size: float


@final
class VirtualClock:
    """Clock whose time is that of the next alarm."""

    def __init__(self) -> None:
        self.time = 0.0
        self._due: list[tuple[float, int, Alarm]] = []
        self._serial = 0

    def now(self) -> float:
        """The time, s."""
        return self.time

    def alarm(self, then: Callable[[], None]) -> "Alarm":
        """An alarm that calls `then`."""
        return Alarm(self, then)

    def put(self, at: float, alarm: "Alarm") -> None:
        """Ring at a time."""
        self._serial += 1
        heapq.heappush(self._due, (at, self._serial, alarm))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._due and self._due[0][0] <= until:
            at, _, alarm = heapq.heappop(self._due)
            if alarm.at == at:
                self.time, alarm.at = max(at, self.time), math.inf
                alarm.then()
        self.time = max(until, self.time)


@final
class Alarm:
    """One alarm; the last time that was set counts."""

    def __init__(self, clock: VirtualClock, then: Callable[[], None]) -> None:
        self.at = math.inf
        self.then = then
        self._clock = clock

    def set(self, at: float) -> None:
        """Ring then."""
        if at != self.at:
            self.at = at
            if at < math.inf:
                self._clock.put(at, self)

    def close(self) -> None:
        """Ring no more."""
        self.at = math.inf


@final
class Job(Generation):
    """One request in service."""

    __slots__ = ("_then",)

    def __init__(self, size: float, then: Callable[[], None]) -> None:
        super().__init__(size, 0.0, 1)
        self._then = then

    def wants_tokens(self) -> bool:
        return False

    def finished(self) -> None:
        self._then()


@dataclass
class World:
    """Backends, and what was measured."""

    setup: Setup
    on_demand: bool
    clock: VirtualClock = field(default_factory=VirtualClock)
    latencies: list[float] = field(default_factory=list)
    loads: int = 0
    unserved: int = 0
    served: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        known = (Model("m*", 1.0, self.setup.load),)
        memory = self.setup.memory
        self.engines = [
            Engine(
                Settings(curve, "jobs", memory=memory, loadable=known, on_demand=self.on_demand),
                self.clock,
            )
            for curve in self.setup.curves
        ]

    @property
    def measures(self) -> bool:
        """Whether the warm-up is over."""
        return self.clock.time >= self.setup.warmup

    def serve(self, backend: int, name: str, size: float, then: Callable[[], None]) -> None:
        """Serve a request whose model is there."""
        job = Job(size, then)
        store = self.engines[backend].models
        assert store is not None
        assert store.serves(name)
        self.engines[backend].note_use(name, job)
        self.engines[backend].submit(job)

    def has(self, backend: int, name: str) -> bool:
        """Whether a model is at a backend, or on its way there."""
        store = self.engines[backend].models
        assert store is not None
        return name in store.resident or name in store.coming

    def done(self, arrival: Arrival) -> None:
        """A request is done."""
        self.served += 1
        if self.measures:
            self.ended += 1
        if arrival.time >= self.setup.warmup:
            self.latencies.append(self.clock.time - arrival.time)


Choice = Callable[["World", int, Sequence[float]], int]
"""From the world, a model, and jobs at each backend per capacity, to a backend."""


@final
class Rival:
    """A policy before backends that load on demand; it knows what they have."""

    def __init__(self, world: World, choose: Choice) -> None:
        self._world = world
        self._choose = choose
        self._jobs = [0] * BACKENDS
        self._waiting: list[list[Callable[[], bool]]] = [[] for _ in range(BACKENDS)]

    def arrived(self, arrival: Arrival) -> None:
        """Send a request."""
        world, name = self._world, f"m{arrival.model}"
        weights = WEIGHTS[world.setup.fleet]
        per_capacity = [jobs / weight for jobs, weight in zip(self._jobs, weights, strict=True)]
        backend = self._choose(world, arrival.model, per_capacity)
        self._jobs[backend] += 1
        begin = partial(self._begin, backend, name, arrival)
        if not begin():
            self._waiting[backend].append(begin)

    def _begin(self, backend: int, name: str, arrival: Arrival) -> bool:
        """Serve, or have the model loaded; False if all memory is in use."""
        world, engine = self._world, self._world.engines[backend]
        store = engine.models
        assert store is not None
        serve = partial(
            world.serve, backend, name, arrival.size, partial(self._done, backend, arrival)
        )
        if store.serves(name):
            serve()
            return True
        coming = name in store.coming
        try:
            engine.load(name, serve, on_demand=True)
        except ApiError:
            return False
        world.loads += not coming and world.measures
        return True

    def _done(self, backend: int, arrival: Arrival) -> None:
        self._jobs[backend] -= 1
        self._world.done(arrival)
        waiting, self._waiting[backend] = self._waiting[backend], []
        self._waiting[backend] += [begin for begin in waiting if not begin()]


@final
class Ours:
    """The router's core before backends that load by its calls."""

    def __init__(self, world: World, policy: str) -> None:
        self._world = world
        entry = KnownModel(1.0, world.setup.load, lambda name: name.startswith("m"))
        capacities = [world.setup.memory] * BACKENDS
        setting = ResidencySetting([entry], capacities, (), by_call=True, unloads=True)
        self._core = core_of(world.setup.system(), parse(policy), residency=setting)
        self._arrivals: dict[int, Arrival] = {}

    def arrived(self, arrival: Arrival) -> None:
        """Route a request."""
        self._arrivals[self._core.arrivals + 1] = arrival
        name = f"m{arrival.model}"
        self._act([self._core.arrived(self._world.clock.time, 0, Profile(model=name))])

    def _act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                arrival, backend = self._arrivals[action.request], action.backend
                then = partial(self._done, action.request)
                self._world.serve(backend, f"m{arrival.model}", arrival.size, then)
            elif isinstance(action, Reject | Close) or action.displaced is not None:
                self._world.unserved += 1
        for backend, call in self._core.take_calls(self._world.clock.time):
            self._call(backend, call)

    def _call(self, backend: int, call: ModelCall) -> None:
        engine = self._world.engines[backend]
        assert engine.models is not None
        ended = partial(self._ended, backend, call)
        if call.loads:
            self._world.loads += self._world.measures
            engine.load(call.model, ended, on_demand=False)
        else:
            engine.models.unload(call.model)
            ended()

    def _ended(self, backend: int, call: ModelCall) -> None:
        self._act(self._core.call_ended(backend, call, self._world.clock.time))

    def _done(self, number: int) -> None:
        self._world.done(self._arrivals.pop(number))
        self._act(self._core.finished(number, self._world.clock.time))


WEIGHTS = {
    name: [curve.supremum * BACKENDS / sum(it.supremum for it in curves) for curve in curves]
    for name, curves in FLEETS.items()
}


def order(fleet: str, model: int) -> list[int]:
    """Backends of a model by rendezvous hashing, weighted by capacity; the first is its home."""
    weights = WEIGHTS[fleet]
    draws = [uniform(model * 7919 + 1, b) for b in range(BACKENDS)]
    return sorted(range(BACKENDS), key=lambda b: -math.log(max(draws[b], 1e-300)) / weights[b])


ORDERS = {fleet: [order(fleet, model) for model in range(MODELS)] for fleet in FLEETS}


def shuffle_of(k: int) -> Choice:
    """The fewest jobs of k backends."""

    def choose(world: World, model: int, jobs: Sequence[float]) -> int:
        return min(ORDERS[world.setup.fleet][model][:k], key=jobs.__getitem__)

    return choose


def bounded(factor: float) -> Choice:
    """The first in the order that holds no more than its share times a factor."""

    def choose(world: World, model: int, jobs: Sequence[float]) -> int:
        weights = WEIGHTS[world.setup.fleet]
        total = sum(n * weight for n, weight in zip(jobs, weights, strict=True)) + 1.0
        most = [math.ceil(factor * total * weight / BACKENDS) for weight in weights]
        return next(
            b
            for b in ORDERS[world.setup.fleet][model]
            if round(jobs[b] * weights[b]) + 1 <= most[b]
        )

    return choose


def affinity(more: int) -> Choice:
    """The holder with the fewest jobs, unless another backend has so many fewer."""

    def choose(world: World, model: int, jobs: Sequence[float]) -> int:
        least = min(range(BACKENDS), key=jobs.__getitem__)
        holders = [b for b in range(BACKENDS) if world.has(b, f"m{model}")]
        best = min(holders, key=jobs.__getitem__, default=least)
        return best if jobs[best] <= jobs[least] + more else least

    return choose


RIVALS: dict[str, list[tuple[str, Choice]]] = {
    "affinity": [(f"affinity, {n} jobs more", affinity(n)) for n in (5, 10, 20)],
    "shuffle of k": [(f"shuffle of {k}", shuffle_of(k)) for k in (2, 3, 4)],
    "rendezvous": [
        ("rendezvous", shuffle_of(1)),
        *((f"rendezvous, loads up to {c:g}", bounded(c)) for c in (1.5, 2.0)),
    ],
}


def arrivals(setup: Setup) -> Iterator[Arrival]:
    """Requests: Poisson, models by Zipf's law, sizes exponential."""
    rng = np.random.default_rng(setup.seed)
    rate = setup.share * sum(curve.supremum for curve in setup.curves)
    popularity = 1.0 / np.arange(1, MODELS + 1)
    until = setup.warmup + setup.length
    count = rng.poisson(rate * until)
    times = np.sort(rng.uniform(0.0, until, count))
    models = rng.choice(MODELS, count, p=popularity / popularity.sum())
    sizes = rng.exponential(1.0, count)
    yield from map(Arrival, times.tolist(), models.tolist(), sizes.tolist())


class Row(NamedTuple):
    """Figures of one contestant."""

    name: str
    loads: int
    mean: float  # s
    p99: float  # s
    unserved: int
    ended: float  # requests in the time measured, of those that came then


def run(setup: Setup, name: str, world: World, arrived: Callable[[Arrival], None]) -> Row:
    """Figures of one contestant."""
    for number, arrival in enumerate(arrivals(setup)):
        world.clock.run(arrival.time)
        if number - world.served > MOST:
            return Row(name, world.loads, math.inf, math.inf, world.unserved, 0.0)
        arrived(arrival)
    world.clock.run(setup.warmup + setup.length)
    ended, loads = world.ended, world.loads
    world.clock.run(setup.warmup + setup.length + 1000.0)
    found = np.array(world.latencies)
    p99 = float(np.quantile(found, 0.99))
    return Row(name, loads, float(found.mean()), p99, world.unserved, ended / found.size)


def ours(setup: Setup, policy: str) -> Row:
    """Figures of the core."""
    world = World(setup, on_demand=False)
    return run(setup, policy, world, Ours(world, policy).arrived)


def contest(setup: Setup) -> None:
    """Figures of all, printed as they come, and what they say."""
    print(
        f"\n{setup.fleet}, room for {setup.memory:g} of {MODELS}, loads of {setup.load:g} s, "
        f"{setup.share:g} of capacity\n"
    )
    print("| contestant | loads | mean, s | p99, s | unserved |\n|---|---|---|---|---|")

    def shown(row: Row) -> Row:
        print(
            f"| {row.name} | {row.loads} | {row.mean:.2f} | {row.p99:.2f} | {row.unserved} |",
            flush=True,
        )
        return row

    first, *_ = [shown(ours(setup, policy)) for policy in OURS]
    # What no memory could better: all models at all backends, at a load that is over at once.
    free = ours(setup._replace(memory=float(MODELS), load=1e-6), OURS[0])
    shown(free._replace(name=f"{OURS[0]}, all models everywhere", loads=0))
    best: list[Row] = []
    for rivals in RIVALS.values():
        rows: list[Row] = []
        for name, choose in rivals:
            world = World(setup, on_demand=True)
            rows.append(shown(run(setup, name, world, Rival(world, choose).arrived)))
        best.append(min(rows, key=lambda row: row.p99))
    rival = min(best, key=lambda row: row.p99)
    p99, most = 1.0 - first.p99 / rival.p99, 1.0 - free.p99 / rival.p99
    fewest = min((row.loads for row in best if row.p99 < math.inf), default=rival.loads)
    loads = 1.0 - first.loads / max(fewest, 1)
    word = "met" if p99 >= LOWER_P99 and loads >= FEWER_LOADS else "not met"
    print(
        f"-> {first.name}: p99 {first.p99:.2f} s, of the best rival ({rival.name}) "
        f"{rival.p99:.2f}: {100 * p99:.0f} % lower, of {100 * most:.0f} % to be had; "
        f"loads {first.loads}, the fewest of a kind's best {fewest}: {100 * loads:.0f} % fewer; "
        f"of that rival {rival.loads}. Goal {word}"
    )


def usable(memories: Sequence[float], share: float = 0.97) -> None:
    """The core at nearly all that a plan says can be used.

    What has ended in the time measured, of what came then, is 100 % where no backlog grows.
    """
    print(
        f"\n| fleet | room | plan, of capacity | bound | at {share:g} of the plan: ended | loads |"
    )
    print("|---|---|---|---|---|---|")
    for fleet in FLEETS:
        for memory in memories:
            half = Setup(fleet, memory, 1.0, 0.5)
            plan = isocline.plan(half.system(), edges_to_try=0).residency
            assert plan is not None
            capacity, bound = 0.5 * plan.capacity_scale, 0.5 * plan.bound
            row = ours(half._replace(share=share * capacity, warmup=200.0), OURS[0])
            print(
                f"| {fleet} | {memory:g} | {capacity:.3f} | {bound:.3f} | {100 * row.ended:.1f} % "
                f"| {row.loads} |",
                flush=True,
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="*", default=range(len(CELLS)))
    parser.add_argument("--usable", action="store_true", help="capacity alone")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    for cell in () if chosen.usable else chosen.cells:
        contest(CELLS[cell]._replace(seed=chosen.seed))
    if chosen.usable or len(chosen.cells) == len(CELLS):
        usable([5.0, 6.0, 8.0])


if __name__ == "__main__":
    main()
