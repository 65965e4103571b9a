"""Router of the calls of a handle to replicas that come and go: a gateway's core, by names.

The handle is a frontend, and the replicas are its backends. All decisions are the core's; here are
names in place of numbers, and what becomes of calls under way when there is another set of
replicas, and so another core: as after a reload of `isocline serve`, they go on counting there.

Whoever calls queues. So no call is held: one that finds no replica is asked for again, and one that
is asked for again while its replica is full gets the best of the others.
"""

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

from isocline.gateway.core import notices
from isocline.gateway.core.actions import Hold, Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.core.prompts import TOKENS_PER_BYTE, Prompt
from isocline.gateway.core.request import Profile
from isocline.gateway.core.request_cost import TOKEN_SPEED, ClassWork, Measure, Usage, measure_of
from isocline.gateway.serve.learned_curves import (
    LearnedCurves,
    assumed,
    learned_curves,
    restore,
)
from isocline.integrations.router_settings import RouterSettings
from isocline.learn import Learner, Learning
from isocline.model.curves import Curve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.serving_settings import Rules
from isocline.model.systemfile.build import UNKNOWN_CURVE
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse
from isocline.randomness.draws import Stream, stream

_HANDLE = 0  # number of the only frontend
_UNPLANNED = "the rate of a handle's calls"
_NONE: frozenset[str] = frozenset()
# s; on a busy machine the end of a call was heard of up to 2 ms before its acceptance.
GRACE = 0.25


@final
@dataclass(frozen=True)
class Replica:
    """Replica as its deployment tells of it.

    Attributes:
        name: Unique name.
        curve: Service curve; None: that of the settings, or a learned one.
        cache_tokens: Tokens in its prefix cache; None: those of the settings.
    """

    name: str
    curve: Curve | None = None
    cache_tokens: int | None = None


@final
@dataclass(slots=True)
class _Attempt:
    """Call at a replica, from the decision to its end."""

    call: str
    replica: str
    core: Core  # that has decided
    number: int  # of that core
    tried: frozenset[str]  # replicas that were full before
    usage: Usage | None
    accepted: bool = False
    ended: bool = False


@final
class ReplicaRouter:
    """Decisions for one handle. Times are seconds of any one clock."""

    def __init__(self, settings: RouterSettings, rng: Stream) -> None:
        """Initialise, without replicas; `rng` breaks ties."""
        self._settings = settings
        self._rng = rng
        cache = settings.prefix_cache
        self._work = Work("tokens", cache.output, cache.prefill) if cache else Work()
        self._measure: Measure | None = measure_of(
            "tokens" if cache else "requests", [ClassWork(0.0, 1.0)], 0, self._work
        )
        self._replicas: tuple[Replica, ...] = ()
        self._numbers: dict[str, int] = {}
        self._core = self._made((), None)
        self._attempts: dict[Hashable, _Attempt] = {}
        # Calls at a replica by its name and theirs, which several may share, the oldest first.
        self._at: dict[tuple[str, str], list[Hashable]] = {}
        # Calls that have ended before they were accepted, with the time up to which they may be.
        self._unsure: deque[tuple[float, Hashable]] = deque()

    # Replicas

    def update(self, replicas: Sequence[Replica], now: float) -> None:
        """Set the replicas that there are."""
        if {it.name: it for it in replicas} == {it.name: it for it in self._replicas}:
            for number in self._numbers.values():  # one that was thought to be gone is there
                self._core.backend_up(number, now)
            return
        before, numbers = self._core, self._numbers
        self._core = self._made(replicas, self._learned(before))
        self._replicas = tuple(replicas)
        self._numbers = {replica.name: number for number, replica in enumerate(replicas)}
        same = {n: numbers[name] for name, n in self._numbers.items() if name in numbers}
        for number, old in same.items():
            if before.in_flight(old):
                self._core.carried_over(number, now, before.in_flight(old))
        if self._core.prompts is not None and before.prompts is not None:
            self._core.prompts.take_over(before.prompts, same, {_HANDLE: _HANDLE})

    def died(self, replica: str, now: float) -> None:
        """Send a replica no more calls."""
        if replica in self._numbers:
            self._core.backend_down(self._numbers[replica], now)

    def reported(self, replica: str, jobs: int, now: float) -> None:
        """Take in how many calls a replica says it has, of all handles."""
        if replica in self._numbers:
            self._core.reported(self._numbers[replica], now, jobs)

    # Calls

    def choose(
        self,
        request: Hashable,
        call: str,
        now: float,
        *,
        prompt: Prompt | None = None,
        holders: Collection[str] = (),
    ) -> str | None:
        """Choose a replica for a call, or another one if it has one already: that one is full.

        Args:
            request: Key of the call, unique until it ends.
            call: Its name, by which its end is known.
            now: s.
            prompt: Its prompt, which counts if replicas have prefix caches.
            holders: Replicas that it is to go to while any of them has room, as they have its
                model; empty: to any.

        Returns:
            Name of a replica; None if all were tried, or none is there: ask again later.
        """
        core = self._core
        if core.next_deadline() <= now:
            core.tick(now)
            notices.log(core.take_notices(), [replica.name for replica in self._replicas])
        self._lapse(now)
        tried = self._withdraw(request, now)
        prompt = prompt if core.prompts is not None else None
        avoided: tuple[int, ...] = ()
        if tried or holders:
            wanted = self._wanted(tried, holders)
            if not wanted:
                return None
            avoided = tuple(n for name, n in self._numbers.items() if name not in wanted)
        action = core.arrived(now, _HANDLE, Profile(prompt=prompt, avoided=avoided))
        if not isinstance(action, Send):
            if isinstance(action, Hold):
                core.cancelled(action.request, now)
            return None
        name = self._replicas[action.backend].name
        self._begin(
            request,
            _Attempt(call, name, core, action.request, tried | {name}, self._usage(prompt)),
        )
        return name

    def cancelled(self, request: Hashable, now: float) -> None:
        """Forget a call that was never sent."""
        self._withdraw(request, now)

    def accepted(self, request: Hashable, replica: str, now: float) -> None:
        """Note that a replica works at a call, or did if its end was heard of first.

        A call that went elsewhere than was chosen counts only in what replicas report.
        """
        attempt = self._attempts.get(request)
        if attempt is None:
            return
        attempt.accepted = True
        if attempt.replica != replica:
            self._withdraw(request, now)
        elif attempt.ended:
            self._finish(request, now)

    def completed(self, replica: str, call: str, now: float) -> None:
        """Note that a call has ended at a replica, however.

        Unless it was accepted, or is soon, it was refused or cancelled: no work was done for it.
        """
        for request in self._at.get((replica, call), ()):
            attempt = self._attempts[request]
            if not attempt.ended:
                attempt.ended = True
                if attempt.accepted:
                    self._finish(request, now)
                else:
                    self._unsure.append((now + GRACE, request))
                return

    def in_flight(self, replica: str) -> int:
        """Number of this handle's calls at a replica."""
        return self._core.in_flight(self._numbers[replica]) if replica in self._numbers else 0

    def curves(self) -> dict[str, Curve]:
        """Service curves by which replicas are chosen, jobs/s."""
        return {it.name: self._core.policy_runtime.curves[n] for n, it in enumerate(self._replicas)}

    # Steps

    def _wanted(self, tried: Collection[str], holders: Collection[str]) -> set[str]:
        """Replicas that a call may go to: of those that are left, the holders if there are any."""
        usable = self._core.availability.candidates.usable
        left = {name for name, n in self._numbers.items() if name not in tried and usable(n)}
        return left.intersection(holders) or left

    def _finish(self, request: Hashable, now: float) -> None:
        """Let a call that was served leave its replica; one that has died has served none."""
        attempt, up = self._attempts[request], self._core.availability.candidates.up
        if attempt.core is not self._core or not up[self._numbers[attempt.replica]]:
            self._withdraw(request, now)
            return
        self._forget(request)
        self._core.finished(attempt.number, now, usage=attempt.usage)

    def _lapse(self, now: float) -> None:
        """Withdraw the calls that have ended long since, and were not accepted."""
        while self._unsure and self._unsure[0][0] <= now:
            request = self._unsure.popleft()[1]
            attempt = self._attempts.get(request)
            if attempt is not None and attempt.ended:
                self._withdraw(request, now)

    def _begin(self, request: Hashable, attempt: _Attempt) -> None:
        self._attempts[request] = attempt
        self._at.setdefault((attempt.replica, attempt.call), []).append(request)

    def _forget(self, request: Hashable) -> None:
        attempt = self._attempts.pop(request)
        key = attempt.replica, attempt.call
        self._at[key].remove(request)
        if not self._at[key]:
            del self._at[key]

    def _withdraw(self, request: Hashable, now: float) -> frozenset[str]:
        """Forget a call that is not, or no longer, served; returns the replicas tried for it."""
        attempt = self._attempts.get(request)
        if attempt is None:
            return _NONE
        self._forget(request)
        if attempt.core is self._core:
            self._core.cancelled(attempt.number, now)
        elif attempt.replica in self._numbers:  # counted there as carried over
            self._core.carried_over(self._numbers[attempt.replica], now, -1)
        return attempt.tried

    def _usage(self, prompt: Prompt | None) -> Usage | None:
        """Tokens of a call, as far as its prompt and the settings tell."""
        cache = self._settings.prefix_cache
        if cache is None:
            return None
        length = prompt.length if prompt is not None else 0
        return Usage(round(length * TOKENS_PER_BYTE), round(cache.output))

    # Making of a core

    def _made(self, replicas: Sequence[Replica], known: LearnedCurves | None) -> Core:
        system = self._system(replicas)
        return core_of(
            system,
            parse(self._settings.policy),
            rules=Rules(stop_at_peak=False),  # whoever calls queues
            learner=self._learner(replicas, known),
            measure=self._measure,
            unplanned=_UNPLANNED,
            rng=self._rng,
        )

    def _system(self, replicas: Sequence[Replica]) -> RoutingSystem:
        cache = self._settings.prefix_cache
        backends = tuple(
            Backend(
                replica.name,
                self._given(replica) or UNKNOWN_CURVE,
                cache_tokens=_tokens(replica.cache_tokens, cache.tokens) if cache else None,
            )
            for replica in replicas
        )
        graph = CompatibilityGraph.from_neighbours(
            len(backends), [range(len(backends))], isolated=True
        )
        frontend = Frontend("handle", PoissonArrivals(1.0))
        return RoutingSystem((frontend,), backends, graph, self._work)

    def _given(self, replica: Replica) -> Curve | None:
        settings = self._settings
        if replica.curve is None and settings.curve is not None:
            return settings.curve.make()
        return replica.curve

    def _learner(self, replicas: Sequence[Replica], known: LearnedCurves | None) -> Learner | None:
        """Make a learner that goes on from known curves, and starts from given ones.

        None if curves are not learned.
        """
        given = {replica.name: self._given(replica) for replica in replicas}
        learns = self._settings.learn
        if not replicas or not (None in given.values() if learns is None else learns):
            return None
        rules = Learning(half_life_completions=self._settings.half_life_completions)
        learner = Learner(
            len(replicas), rules, unit=TOKEN_SPEED if self._settings.prefix_cache else 1.0
        )
        backends = {it.name: it for it in known.backends} if known else {}
        for name, curve in given.items():
            if curve is not None and name not in backends:
                backends[name] = assumed(name, curve, rules.kept)
        restore(learner, list(given), _document(backends.values()))
        return learner

    def _learned(self, core: Core) -> LearnedCurves | None:
        if core.feedback is None:
            return None
        core.feedback.flush()
        names = [replica.name for replica in self._replicas]
        return learned_curves(core.feedback.learner, names, "replicas")


def _tokens(reported: int | None, given: int) -> int:
    return given if reported is None else reported


def _document(backends: Iterable[Any]) -> LearnedCurves:
    return LearnedCurves(
        kind="learned-curves", version=1, system="replicas", backends=list(backends)
    )


def warm(settings: RouterSettings) -> None:
    """Compile all that a router calls, before its first call; a policy takes up to 1 s."""
    router = ReplicaRouter(settings, stream(0))
    router.update([Replica("first"), Replica("second")], 0.0)
    prompt = Prompt(1) if settings.prefix_cache else None
    name = router.choose("call", "call", 0.0, prompt=prompt)
    assert name is not None
    router.accepted("call", name, 0.0)
    router.completed(name, "call", 1e-3)
    core = router._core
    core.tick(1e9)
    if core.policy_error is not None:
        raise core.policy_error
    if core.feedback is not None:
        core.feedback.learner.rehearse()
