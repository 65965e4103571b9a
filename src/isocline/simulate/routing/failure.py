"""Failures of backends during a run, which take their jobs with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import POSITIVE, require_fields
from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.piecewise_parameters import Period

Changes = Sequence[tuple[float, RoutingSystem]]


@final
@dataclass(frozen=True)
class Failure:
    """Failure of a backend at `time`, for good.

    The jobs that it holds are sent again by their frontends at once, to those that are left, and
    begin anew; a latency counts from the first arrival. Or they are `lost`.
    """

    backend: str
    time: float  # s
    lost: bool = False

    def __post_init__(self) -> None:
        require_fields(self, f"failure of {self.backend}", time=POSITIVE)

    @property
    def in_words(self) -> str:
        """Phrase for the footnotes of a table."""
        fate = "are lost" if self.lost else "are sent again"
        return f"{self.backend} fails at {self.time:g} s, its jobs {fate}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `NAME@TIME` or `NAME@TIME,lost`, as on the command line.

        Raises:
            UsageError: It is not written so, or the time is not above 0.
        """
        name, _, rest = text.rpartition("@")  # a name may hold anything
        time, comma, fate = rest.partition(",")
        try:
            if name and fate == ("lost" if comma else ""):
                return cls(name, float(time), bool(comma))
        except ValueError as error:
            if isinstance(error, UsageError):
                raise
        raise UsageError(f"failure {text!r}: give NAME@TIME, such as h100-1@600, or NAME@TIME,lost")


@final
@dataclass(frozen=True, eq=False)
class BackendFailure:
    """Failure by numbers, those of a fleet that changes."""

    time: float  # s
    backend: int
    lost: bool
    heirs: npt.NDArray[np.int32]  # (F,) frontend that sends a frontend's jobs again; -1: none


def with_failures(system: RoutingSystem, changes: Changes, failures: Sequence[Failure]) -> Changes:
    """The changes, and those that failures make: the system is what it was, without the backend.

    Raises:
        UsageError: A backend is not there when it fails, is still there at that time in a system
            that was given, or was the last one of a frontend.
    """
    times = [time for time, _ in changes]
    if not failures or times != sorted(set(times)):
        return changes  # the order of times is for `periods` to refuse
    given = dict(changes)
    made: list[tuple[float, RoutingSystem]] = []
    for time in sorted({*given, *(one.time for one in failures)}):
        before = made[-1][1] if made else system
        failing = [one for one in failures if one.time == time]
        for one in failing:
            _require_there(one, before)
        _require_once(failing)
        if time in given:
            after = given[time]
            for one in failing:
                if one.backend in _names(after):
                    raise UsageError(
                        f"failure of {one.backend} at {time:g} s: the system from then on has it; "
                        "let it come back later, or leave it out there"
                    )
        else:
            after = _without(before, failing)
        made.append((time, after))
    return made


def by_number(failures: Sequence[Failure], found: Sequence[Period]) -> tuple[BackendFailure, ...]:
    """The failures of a fleet whose frontends are those of its periods one after the other."""
    numbers = []
    for failure in sorted(failures, key=lambda one: one.time):
        period = next(p for p, one in enumerate(found) if one.begin == failure.time)
        backend = found[period].backends.index(failure.backend)
        heirs = _heirs(found, period)
        numbers.append(BackendFailure(failure.time, backend, failure.lost, heirs))
    return tuple(numbers)


def require_failures_fit(failures: Sequence[Failure], horizon: float | None) -> None:
    """Raise UsageError if a failure would come after the end of a run."""
    for one in failures:
        if horizon is not None and one.time >= horizon:
            raise UsageError(
                f"failure of {one.backend} at {one.time:g} s: the run ends at {horizon:g} s; give "
                "an earlier time or a longer horizon"
            )


def _heirs(found: Sequence[Period], period: int) -> npt.NDArray[np.int32]:
    """(F,) the frontend of `period` that has the name of each frontend of all periods, or -1."""
    first = sum(len(one.system.frontends) for one in found[:period])
    now = {f.name: first + i for i, f in enumerate(found[period].system.frontends)}
    names = (frontend.name for one in found for frontend in one.system.frontends)
    return np.array([now.get(name, -1) for name in names], np.int32)


def _names(system: RoutingSystem) -> list[str]:
    return [backend.name for backend in system.backends]


def _require_there(failure: Failure, system: RoutingSystem) -> None:
    if failure.backend not in _names(system):
        raise UsageError(
            f"failure of {failure.backend!r} at {failure.time:g} s: there is no such backend then; "
            f"there are {', '.join(_names(system))}"
        )


def _require_once(failing: Sequence[Failure]) -> None:
    """Raise UsageError if a backend fails twice at one time; later it would no longer be there."""
    names = [one.backend for one in failing]
    for one in failing:
        if names.count(one.backend) > 1:
            raise UsageError(
                f"failure of {one.backend!r} at {one.time:g} s: given twice; a backend fails once, "
                "until a later system brings it back"
            )


def _without(system: RoutingSystem, failing: Sequence[Failure]) -> RoutingSystem:
    """The system without some of its backends."""
    gone = {one.backend for one in failing}
    kept = [b for b, name in enumerate(_names(system)) if name not in gone]
    number = {b: i for i, b in enumerate(kept)}
    neighbours = []
    for f, frontend in enumerate(system.frontends):
        left = [number[b] for b in system.graph.neighbours(f).tolist() if b in number]
        if not left:
            raise UsageError(
                f"failure of {', '.join(sorted(gone))} at {failing[0].time:g} s: frontend "
                f"{frontend.name!r} would have no backend left; give it another one, or a system "
                "file from that time on"
            )
        neighbours.append(left)
    graph = CompatibilityGraph.from_neighbours(len(kept), neighbours)
    name = f"{system.name} without {', '.join(sorted(gone))}"
    backends = tuple(system.backends[b] for b in kept)
    return replace(system, backends=backends, graph=graph, name=name, trace=None)
