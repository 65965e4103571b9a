"""File format of learned curves, so that a restarted router keeps them.

One JSON document, version 1. Backends, by name, have the completions and the time at each observed
workload, and those that stand for a given curve: the learner goes on from these. For readers of the
file they also have the fitted curve with 95 % intervals, and the highest workload seen. Frontends,
by name, have the work of their requests. Rates are in `unit`/s; where requests differ in work,
completions and time both count for less, see `gateway.core.request_cost`. A new version is written
under another name, flushed to the disk and renamed, so that the file is complete at any moment.
"""

import json
import re
from abc import ABC
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from isocline.errors import SystemFileError
from isocline.gateway.core.request_cost import Mix, Unit
from isocline.learn import Known, Learner
from isocline.learn.occupancy import assume, given, seen
from isocline.model.curves import Curve, TableCurve
from isocline.model.fleet import Backend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.replaced_file import replace_text

# A given curve is sampled at 1, 2, 4, ... jobs, until it is at this share of its peak, or at most
# 13 times.
_NEAR, _LAST = 0.99, 12
MOVE_AWAY = "move the file away to start learning afresh, or restore it from a backup"
_BEGINS = re.compile(rb'"kind"\s*:\s*"learned-curves"')
_SHOW_ANOTHER = "give a system file, or a file of learned curves written by isocline serve"

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Level = Annotated[int, Field(ge=0, lt=1 << 20)]


class _Part(BaseModel, ABC):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


@final
class LearnedBackend(_Part):
    """Counts and curve of one backend; `levels`, `done` and `seconds` are equally long."""

    name: Annotated[str, Field(min_length=1)]
    completions: Amount  # observed ones that still count, after forgetting
    cut: int | None  # jobs, the measured peak beyond which rates fall
    points: list[tuple[Amount, Amount]]  # (N, unit/s) of the fitted curve
    levels: list[Level]  # observed workloads
    done: list[Amount]  # completions at each
    seconds: list[Amount]  # time at each
    # (N, completions, s): not observed, they stand for the curve given in the system file.
    given: list[tuple[Level, Amount, Amount]] = []
    # Missing in files of older versions; null: no upper end.
    seen: int | None = None  # jobs, highest workload at or above which a completion was due
    capacity: tuple[Amount, Amount | None] | None = None  # unit/s, of the peak
    intervals: list[tuple[Amount, Amount, Amount | None]] = []  # (N, unit/s, unit/s) at the points

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if not len(self.levels) == len(self.done) == len(self.seconds):
            raise ValueError("levels, done and seconds differ in length")
        return self

    @property
    def curve(self) -> TableCurve:
        """Fitted curve; raises CurveError."""
        return TableCurve(tuple(self.points))

    @property
    def known(self) -> Known:
        """Uncertainty of the curve, computed from the counts, unit/s; files may lack intervals."""
        size = max(self.levels, default=0) + 1
        done, seconds = np.zeros(size), np.zeros(size)
        done[self.levels] = self.done
        seconds[self.levels] = self.seconds
        return Known(done, seconds)


@final
class LearnedFrontend(_Part):
    """Mean work of one frontend's requests."""

    name: Annotated[str, Field(min_length=1)]
    requests: Amount  # number of requests over which `work` is the mean
    work: Amount  # mean work of a request, in `unit`


@final
class LearnedCurves(_Part):
    """Contents of the file."""

    kind: Literal["learned-curves"]
    version: Literal[1]
    system: str
    unit: Unit = "requests"
    backends: list[LearnedBackend]
    frontends: list[LearnedFrontend] = []  # none where each request counts as 1

    @property
    def mean_work(self) -> float:
        """Mean work of a request; 1 if nothing is known."""
        requests = sum(frontend.requests for frontend in self.frontends)
        works = sum(frontend.requests * frontend.work for frontend in self.frontends)
        return works / requests if works > 0 else 1.0

    def without(self, names: Collection[str]) -> Self:
        """Curves of all backends except these."""
        kept = [backend for backend in self.backends if backend.name not in names]
        return self.model_copy(update={"backends": kept})

    def as_system(self) -> RoutingSystem:
        """System with the backends and no frontends, for `isocline curves`."""
        backends = tuple(Backend(backend.name, backend.curve) for backend in self.backends)
        graph = CompatibilityGraph.from_neighbours(len(backends), [])
        work = Work(_UNITS[self.unit], self.mean_work)
        return RoutingSystem((), backends, graph, work, name=f"{self.system}, learned")


# Units as shown to readers: work measured by time has no unit of its own.
_UNITS = {"requests": "jobs", "frontend": "work", "tokens": "tokens"}


def learned_curves(learner: Learner, names: Sequence[str], system: str) -> LearnedCurves:
    """Curves of the learner, for the file; backends are sorted by name."""
    backends = [_learned(learner, number, name) for number, name in enumerate(names)]
    return LearnedCurves(kind="learned-curves", version=1, system=system, backends=backends)


def assumed(name: str, curve: Curve, weight: float) -> LearnedBackend:
    """Completions that stand for a given curve, spread over workloads; none are observations."""
    levels = [1]
    while curve.rate(levels[-1]) < _NEAR * curve.supremum and len(levels) <= _LAST:
        levels.append(2 * levels[-1])
    rates = [float(curve.rate(n)) for n in levels]
    return LearnedBackend(
        name=name,
        completions=0.0,
        cut=None,
        points=list(zip(map(float, levels), rates, strict=True)),
        levels=[],
        done=[],
        seconds=[],
        given=[(n, weight, weight / rate) for n, rate in zip(levels, rates, strict=True)],
    )


def learned_frontends(mix: Mix, names: Sequence[str]) -> list[LearnedFrontend]:
    """Mean work of each frontend, for the file; sorted by name."""
    return [
        LearnedFrontend(name=name, requests=known.requests, work=known.work)
        for name, known in zip(names, mix.classes(), strict=True)
    ]


def _learned(learner: Learner, backend: int, name: str) -> LearnedBackend:
    occupied = learner.observed.occupied
    now = float(occupied.since[backend])
    done, seconds = seen(occupied, backend, now)
    levels = np.flatnonzero((done > 0) | (seconds > 0))
    given_done, given_seconds = given(occupied, backend, now)
    assumed = np.flatnonzero(given_done)
    fitted, known = learner.fitted(backend), Known(done, seconds)
    points = [(n, rate) for n, rate in fitted.curve.points if n > 0]
    return LearnedBackend(
        name=name,
        completions=float(done.sum()),
        cut=fitted.cut,
        points=points,
        levels=levels.tolist(),
        done=done[levels].tolist(),
        seconds=seconds[levels].tolist(),
        given=list(
            zip(
                assumed.tolist(),
                given_done[assumed].tolist(),
                given_seconds[assumed].tolist(),
                strict=True,
            )
        ),
        seen=known.seen,
        capacity=known.capacity.holding(fitted.curve.supremum),
        intervals=known.intervals(points),
    )


def restore(learner: Learner, names: Sequence[str], learned: LearnedCurves) -> list[str]:
    """Load the file's curves into a new learner; returns the names of the backends found."""
    known = {backend.name: backend for backend in learned.backends}
    levels = (
        level
        for backend in known.values()
        for level in (*backend.levels, *(it[0] for it in backend.given))
    )
    learner.reserve(max(levels, default=0))
    found = [name for name in names if name in known]
    observed = learner.observed
    for number, name in enumerate(names):
        if name in known:
            backend = known[name]
            observed.occupied.done[number, backend.levels] = backend.done
            observed.occupied.seconds[number, backend.levels] = backend.seconds
            if backend.given:
                assumed, done, seconds = map(np.array, zip(*backend.given, strict=True))
                assume(observed.occupied, number, assumed, done, seconds)
            observed.fresh[number] = observed.quota[number]  # a fit is due
    learner.update(0.0, [0] * len(names))
    return found


def read_learned(path: Path, remedy: str = MOVE_AWAY) -> LearnedCurves | None:
    """Read the file; None if there is none.

    Args:
        path: Path of the file.
        remedy: Remedy that error messages give.

    Raises:
        SystemFileError: The file cannot be read, is of another version, or is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SystemFileError(f"{path}: cannot be read: {error}") from error
    try:
        return LearnedCurves.model_validate_json(text)
    except ValidationError as error:
        raise SystemFileError(f"{path}: {_problem(error)}; {remedy}") from None


def _problem(error: ValidationError) -> str:
    """Describe an error in the contents, in plain words for the usual cases."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return f"this is not JSON ({first['ctx']['error']}); it may have been cut off"
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "value_error":
        return f"{where}: {first['ctx']['error']}"
    if first["type"] == "extra_forbidden":
        return f"{where} is not a key of a file of learned curves"
    if where == "version":
        return f"version is {first['input']!r}, but this isocline reads version 1"
    return f"{where} is {repr(first['input'])[:40]}: {first['msg'].lower()}"


def write_learned(path: Path, learned: LearnedCurves) -> None:
    """Replace the file atomically.

    Raises:
        SystemFileError: The folder is missing or not writable; the file is unchanged.
    """
    text = json.dumps(learned.model_dump(), indent=1, allow_nan=False) + "\n"
    try:
        replace_text(path, text, private=True, flushed=True)
    except OSError as error:
        raise SystemFileError(
            f"{path}: cannot be written: {error}; give a file in a writable folder"
        ) from error


def learned_file(path: Path) -> LearnedCurves | None:
    """Read a file of learned curves; None if it is another kind of file, or missing.

    Raises:
        SystemFileError: The file holds learned curves but is damaged.
    """
    try:
        with path.open("rb") as file:
            is_learned = _BEGINS.search(file.read(200)) is not None
    except OSError:
        return None
    return read_learned(path, _SHOW_ANOTHER) if is_learned else None
