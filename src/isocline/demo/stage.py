"""Processes of a comparison, and one run of load through one router."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import NamedTuple, Self, final

import numpy as np
import numpy.typing as npt

from isocline.demo.child import ResourceSample
from isocline.demo.router import Routing
from isocline.emulator import Settings
from isocline.loadgen import LoadSettings, Schedule
from isocline.loadgen.tally import Tally
from isocline.loadgen.workers import WORKER, Sent
from isocline.model.fleet import RoutingSystem
from isocline.subprocesses.supervise import Child

FloatArray = npt.NDArray[np.float64]

_SOON = 0.02  # s until a run begins, so that the sender is ready
_TIMEOUT = 30.0  # s until a request is given up


@final
@dataclass(frozen=True)
class Contestant:
    """A router that listens; `process` is ours, if it is."""

    name: str
    url: str
    process: Child | None = None


class Machine(NamedTuple):
    """Additions of the machine to a latency, and its load by each part; None: not known."""

    send_lag: float  # s from when requests were due until they were sent, mean
    router_lag: float | None  # s by which the router was late at work, mean
    backend_lag: float  # s, of the latest backend
    send_cpu: float  # cores
    router_cpu: float | None
    backend_cpu: float  # cores, all together

    @property
    def added(self) -> float:
        """Seconds of a latency that are the machine's; a router is passed twice."""
        return self.send_lag + 2.0 * (self.router_lag or 0.0) + self.backend_lag


@final
@dataclass(frozen=True, eq=False)
class Run:
    """One run of one contestant, after its warm-up."""

    tally: Tally
    jobs: FloatArray  # (B,) mean at each backend, by Little's law over what was completed
    grown: float  # jobs more at the end than after the warm-up
    machine: Machine
    repeated: int = 0  # times that it was made before, and the machine was too slow


@final
class Stage:
    """Backends and a sender, each a process; all are ended at the end of a `with`.

    Attributes:
        system: With the urls at which its backends listen.
    """

    def __init__(self, system: RoutingSystem, seed: int = 0) -> None:
        self.system = system
        self._seed = seed
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._backends = [
                stack.enter_context(_child("isocline.demo.backend", f"backend {one.name}"))
                for one in self.system.backends
            ]
            self._sender = stack.enter_context(_child(WORKER, "the load"))
            ports = self._listening()
            self._ends = stack.pop_all()
        backends = tuple(
            replace(one, url=f"http://127.0.0.1:{port}")
            for one, port in zip(self.system.backends, ports, strict=True)
        )
        self.system = replace(self.system, backends=backends)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close()

    def routers(self, names: Sequence[str], routings: Sequence[Routing]) -> list[Contestant]:
        """Start a process with these routers, for as long as the stage is there."""
        process = self._ends.enter_context(_child("isocline.demo.router", "the routers"))
        ports = process.ask(routings)
        return [
            Contestant(name, f"http://127.0.0.1:{port}", process)
            for name, port in zip(names, ports, strict=True)
        ]

    def run(self, contestant: Contestant, schedule: Schedule, warmup: float) -> Run:
        """Send a schedule through a contestant; what is due in the first `warmup` s is left out.

        Raises:
            ProcessError: A process ended.
        """
        settings = LoadSettings(contestant.url, warmup=warmup, timeout=_TIMEOUT)
        self._sender.ask((settings, schedule))  # it is ready then
        start = time.monotonic() + _SOON
        self._sender.tell(start)
        _sleep_until(start + warmup)
        before = self._sample(contestant)
        _sleep_until(start + schedule.duration)
        after = self._sample(contestant)
        sent: Sent = self._sender.hear()
        return _run(sent, before, after, schedule.duration)

    def _listening(self) -> list[int]:
        curves = zip(self._backends, self.system.curves, strict=True)
        for number, (child, curve) in enumerate(curves):
            sizes, seed = self.system.sizes, self._seed + number
            child.tell(Settings(curve, unit="jobs", sizes=sizes, orca="off", seed=seed))
        return [child.hear() for child in self._backends]

    def _sample(self, contestant: Contestant) -> "_Samples":
        router = contestant.process and contestant.process.ask()
        return _Samples(router, [child.ask() for child in self._backends])


def _child(module: str, name: str) -> Child:
    return Child(module, name, "run the demo again")


class _Samples(NamedTuple):
    router: ResourceSample | None
    backends: list[ResourceSample]


def _run(sent: Sent, before: _Samples, after: _Samples, duration: float) -> Run:
    pairs = list(zip(before.backends, after.backends, strict=True))
    seconds = [(b.work.seconds - a.work.seconds) / (b.time - a.time) for a, b in pairs]
    router_lag = router_cpu = None
    if before.router is not None and after.router is not None:
        router_lag = _late(before.router, after.router)
        router_cpu = _cores(before.router, after.router)
    machine = Machine(
        sent.tally.lag.mean,
        router_lag,
        max(_late(a, b) for a, b in pairs),
        sent.cpu / duration,
        router_cpu,
        sum(_cores(a, b) for a, b in pairs),
    )
    grown = float(sum(b.work.jobs - a.work.jobs for a, b in pairs))
    return Run(sent.tally, np.array(seconds), grown, machine)


def _late(before: ResourceSample, after: ResourceSample) -> float:
    # A process that was too busy to look at its alarm even once has been late all the time.
    alarms = after.alarms - before.alarms
    return (after.late - before.late) / alarms if alarms else after.time - before.time


def _cores(before: ResourceSample, after: ResourceSample) -> float:
    return (after.cpu - before.cpu) / (after.time - before.time)


def _sleep_until(when: float) -> None:
    time.sleep(max(when - time.monotonic(), 0.0))
