"""Learner: events in, fitted service curves out.

    learner = Learner(backends=3)
    learner.arrived(backend=0, workload=4, now=1.25)   # the workload before the event
    learner.finished(backend=0, workload=5, now=1.31)
    for backend in learner.update(now=1.31, workloads=workloads):
        use(learner.curve(backend))

No backend starves. One that was never tried is believed to be as fast as the fastest that was, and
its knee is taken to be far off; and where a backend has been seen less than the mean of all, its
curve is raised by an exploration bonus that falls with what is known of it (`bonus`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.arguments import require_fields
from isocline.errors import UsageError
from isocline.learn import change, occupancy, services
from isocline.learn.fit import Fit, Prior, fit
from isocline.learn.known import Known
from isocline.learn.observed import Observed, count, leave
from isocline.model.curves import TableCurve

FloatArray = npt.NDArray[np.float64]

# A fit is due when a tenth more events came than it rests on: 25 fits per factor of 10.
_GROWTH, _FIRST_EVENTS = 0.1, 4
# What is believed of a backend's speed after this many completions no longer depends on others.
_KNOWN = 10.0
# What a fit rests on has faded so much: another is due, though nothing new was seen.
_FADED = 1.25
# The best speed has to move this much before the fits of unseen backends follow.
_MOVED = 1.1


@final
@dataclass(frozen=True)
class Learning:
    """How curves are learned; the defaults serve backends that change seldom."""

    half_life: float = math.inf  # s, after which an observation counts half
    half_life_completions: float = math.inf  # the same, in completions of the mean backend
    optimism: float = 0.5  # size of the exploration bonus; 0 for none
    false_alarms: float = 1e-6  # changes of speed seen where there is none, per completion; 0: off
    kept: float = 25.0  # completions that old observations count for after a change
    prior: Prior = field(default_factory=Prior)

    def __post_init__(self) -> None:
        require_fields(self, "learning")
        for name in ("half_life", "half_life_completions", "kept"):
            if not getattr(self, name) > 0:
                raise UsageError(
                    f"learning: {name} is {getattr(self, name)}; give a number above 0"
                )
        if not 0 <= self.optimism < math.inf:
            raise UsageError(f"learning: optimism is {self.optimism}; give 0 or more")
        if not 0 <= self.false_alarms < 1:
            raise UsageError(
                f"learning: false_alarms is {self.false_alarms}; give a probability below 1, "
                "such as 1e-6, or 0 for none"
            )


@final
@dataclass(frozen=True)
class Change:
    """A change of speed that was noticed."""

    backend: int
    time: float  # s
    speed: float  # over what had been learned before: 0.5 is twice as slow


@final
class Learner:
    """Learns the service curves of B backends, in jobs/s or whatever is counted."""

    def __init__(
        self,
        backends: int,
        learning: Learning | None = None,
        workloads: int = 64,
        unit: float = 1.0,
    ):
        """`unit` is what the first one is believed to do, jobs/s per job, before it was seen."""
        self.learning = learning or Learning()
        options = self.learning
        self.observed = Observed(
            occupancy.occupancy(backends, workloads, options.half_life),
            change.watch(backends, workloads, options.false_alarms),
            services.services(backends, workloads),
            np.zeros(backends, np.int64),
            np.full(backends, _FIRST_EVENTS),
            np.zeros(2, np.int64),
        )
        self.changes: list[Change] = []
        self._frozen: set[int] = set()
        self._aged = 0.0  # completions of all, up to which age is counted
        self._unit = unit  # what an unseen backend is believed to do, jobs/s per job
        nothing = np.zeros(workloads)
        self._fits = [fit(nothing, nothing, options.prior, self._unit)] * backends
        self._serve(range(backends))

    @property
    def backends(self) -> int:
        """B."""
        return len(self._fits)

    def arrived(self, backend: int, workload: int, now: float) -> None:
        """A job joined a backend that held `workload`, at `now`, s."""
        self.reserve(workload)
        leave(self.observed, backend, workload, now, False)

    def finished(self, backend: int, workload: int, now: float, began: float | None = None) -> None:
        """A job was finished by a backend that held `workload`, this job included.

        With `began`, s, when it arrived there, jobs of any sizes are learned from without bias;
        without, they are taken to be exponential.
        """
        self.reserve(workload)
        count(self.observed, backend, workload, now, 1.0, 1.0, now if began is None else began)

    @property
    def due(self) -> bool:
        """Whether `update` would fit anything; one call for a sixteenth of the backends."""
        due, alarms = self.observed.due
        return bool(due >= self.batch or alarms)

    @property
    def batch(self) -> int:
        """Backends due that are worth an update."""
        return max(1, self.backends // 16)

    def update(self, now: float, workloads: Sequence[int] | npt.NDArray[np.integer]) -> list[int]:
        """Fit what is due at `now`, s, while backends hold `workloads` (B,); gives those fitted."""
        for backend in np.flatnonzero(self._alarms()).tolist():
            if backend not in self._frozen:
                self._change(backend, now)
        seen = self.observed
        due = set(np.flatnonzero(seen.fresh >= seen.quota).tolist()) | self._age()
        due -= self._frozen
        for backend in sorted(due):
            self._fit(backend, int(workloads[backend]), now)
        due |= self._follow(now)
        self.observed.due[:] = 0
        return sorted(due)

    def freeze(self, backend: int, frozen: bool) -> None:
        """Leave a backend's fit as it is, whatever is counted, or go on fitting it.

        What was counted goes on fading meanwhile; what is to be observed is up to the caller.
        """
        (self._frozen.add if frozen else self._frozen.discard)(backend)

    def rehearse(self) -> None:
        """Have everything compiled that `update` calls; afterwards it is good for nothing."""
        self._change(0, 0.0)
        self._fit(0, 0, 0.0)

    def fitted(self, backend: int) -> Fit:
        """Observations and intervals of a backend."""
        return self._fits[backend]

    def curve(self, backend: int) -> TableCurve:
        """The fitted curve, jobs/s."""
        return self._fits[backend].curve

    def curves(self) -> tuple[TableCurve, ...]:
        """All of them."""
        return tuple(one.curve for one in self._fits)

    def optimistic(self, backend: int) -> TableCurve:
        """The curve that a policy should go by: fitted, and raised by the exploration bonus."""
        return self._fits[backend].raised(self.bonus(backend)).curve

    def bonus(self, backend: int) -> float:
        """1 + optimism * sqrt(2 ln+(mean / own) / own), in completions, prior included.

        The index of MOSS (J.-Y. Audibert, S. Bubeck, COLT 2009), relative to the rate: a backend
        seen as often as the mean gets none, and one that is not chosen gets more and more.
        """
        known = np.array([one.completions for one in self._fits]) + self.learning.prior.completions
        own = known[backend]
        ahead = max(math.log(known.mean() / own), 0.0)
        return 1.0 + self.learning.optimism * math.sqrt(2.0 * ahead / own)

    def reserve(self, workload: int) -> None:
        """Make room for a workload."""
        room = self.observed.occupied.seconds.shape[1]
        if workload < room:
            return
        while workload >= room:
            room *= 2
        self.observed = self.observed._replace(
            occupied=occupancy.enlarged(self.observed.occupied, room),
            watched=change.enlarged(self.observed.watched, room),
            served=services.enlarged(self.observed.served, room),
        )
        self._serve(range(self.backends))

    def _age(self) -> set[int]:
        """Forget, as so many completions came since; whose fits rest on what has faded.

        All forget alike, also one that finishes little as it is thought to be slow: it is tried
        again (discounted UCB: A. Garivier, E. Moulines, ALT 2011).
        """
        life = self.learning.half_life_completions * self.backends
        occupied = self.observed.occupied
        completions = occupied.finished.sum()
        factor = 2.0 ** ((completions - self._aged) / life)
        self._aged = completions
        if factor == 1.0:
            return set()
        occupancy.age(occupied, factor)
        now = occupied.done.sum(axis=1) / occupied.weight
        fitted = np.array([one.completions for one in self._fits])
        return set(np.flatnonzero(now < fitted / _FADED).tolist())

    def _alarms(self) -> npt.NDArray[np.bool_]:
        watched = self.observed.watched
        return np.asarray(watched.score.max(axis=1) > watched.threshold[0])

    def _change(self, backend: int, now: float) -> None:
        """Old observations keep their shape, take the speed measured last, and count for few."""
        watched = self.observed.watched
        speed = change.speed(watched, backend)
        occupancy.discount(self.observed.occupied, backend, self.learning.kept, speed)
        self.changes.append(Change(backend, now, speed))
        for way in (0, 1):
            change.forget(watched, backend, way)
        self.observed.fresh[backend] = self.observed.quota[backend]

    def _fit(self, backend: int, workload: int, now: float) -> None:
        seen = self.observed
        change.lapse(
            seen.watched,
            backend,
            workload,
            occupancy.spend(seen.occupied, backend, workload, now),
        )
        made = self._fits[backend] = self._fitted(backend, now)
        watched = change.trusted(made.known.completions)
        seen.watched.rate[backend] = np.where(watched, made.rate(np.arange(watched.size)), 0.0)
        self._serve([backend])
        seen.fresh[backend] = 0
        # An arrival and a completion are two events.
        seen.quota[backend] = max(_FIRST_EVENTS, int(2.0 * _GROWTH * made.completions))

    def _serve(self, backends: Iterable[int]) -> None:
        """Rate of one job at a backend at each workload, by its fit."""
        rate = self.observed.served.rate
        n = np.maximum(np.arange(rate.shape[1]), 1)
        for backend in backends:
            rate[backend] = self._fits[backend].rate(n) / n

    def _follow(self, now: float) -> set[int]:
        """Unseen backends are believed to be as fast as the best: fit them if that has changed."""
        known = [one.unit_rate for one in self._fits if one.completions >= _KNOWN]
        if not known or 1.0 / _MOVED < max(known) / self._unit < _MOVED:
            return set()
        self._unit = max(known)
        followers = {b for b, one in enumerate(self._fits) if one.completions < _KNOWN}
        followers -= self._frozen
        for backend in followers:
            self._fits[backend] = self._fitted(backend, now)
        self._serve(followers)
        return followers

    def _fitted(self, backend: int, now: float) -> Fit:
        occupied = self.observed.occupied
        done, spent = occupancy.counted(occupied, backend, now)
        known = Known(*occupancy.seen(occupied, backend, now))
        return fit(done, spent, self.learning.prior, self._unit, known)
