"""Sweep of a live server: visits the levels that `decide` chooses, on one event loop.

The time limit holds from the start to the end, whatever the server does: each wait ends at it, and
what is in flight then is abandoned. A visit that it cuts counts for what was complete.
"""

import asyncio
import contextlib
import math
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import final

import uvloop

from isocline.errors import MeasureError
from isocline.event_loop.clock import SYSTEM_CLOCK, Clock
from isocline.loadgen.schedule import Schedule
from isocline.loadgen.target import Target
from isocline.measurements import measured_curve
from isocline.plural import counted
from isocline.sweep.closed_loop import ClosedLoop
from isocline.sweep.decide import Aims, Level, Stop, Visit, next_visit
from isocline.sweep.preflight import ask, find_model, probe, wait_of
from isocline.sweep.rate import Rate, rate_of
from isocline.sweep.requests import Request, Requests
from isocline.sweep.result import SweepResult, Visited, points_of
from isocline.sweep.settings import SweepSettings

Report = Callable[[Visited, float], None]

# A request counts over its last so many mean latencies, for which a visit waits after its window.
_TAIL = 2.0
# Failures that a level may have: more than these, and more than this share.
_FEW, _SHARE = 3, 0.05
_ONCE = 1  # answers that say that there is too much to do, with which a level still counts
_LEAST = 5  # completions in a window
_FEWEST = 3.0  # of them, as they count
# A window may last so many times as long as planned, within this share of the time left, until this
# share of the completions that were expected has come.
_LONGER, _PART, _PLANNED = 10.0, 0.25, 0.5
_EMPTY = 4.0  # latencies of the level before, at most, until what is above the new one is over
_TURNOVER = 2.0  # expected latencies, at most, until all requests of before are over
# Levels of a curve that is worth its name, times what each takes in latencies (`decide`).
_LEVELS, _LATENCIES = 3, 5.0
_WORTH = 0.5  # share of a window that is left when it was cut short, from which it counts
_WAIT = 1.0  # s until the next level after one that failed
_BUSY = 0.9  # share of a core that this process used
_NOTE = "this client used a whole core: it may be the limit, not the server"
_FIRST_TEXTS = 40  # bits: two sweeps of one server begin with other texts


@final
class Sweep:
    """One sweep on the running event loop."""

    def __init__(
        self,
        settings: SweepSettings,
        schedule: Schedule,
        clock: Clock = SYSTEM_CLOCK,
        report: Report = lambda _, __: None,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """Initialise a sweep that has sent nothing.

        Args:
            settings: What to measure.
            schedule: Sizes of requests, taken in their order, again and again; times do not count.
            clock: Time and alarms.
            report: Called after each visit, with the time since the start, s.
            cpu: CPU time of this process, s.
        """
        self._settings, self._schedule = settings, schedule
        self._clock, self._now = clock, clock.now
        self._report, self._cpu = report, cpu
        self._alarm = clock.alarm(self._ring)
        self._interrupted = False
        self._start = self._deadline = 0.0
        self._wake: asyncio.Future[None] | None = None
        self._done: Callable[[], bool] | None = None
        self._preparing: asyncio.Task[object] | None = None
        self._levels: dict[int, Rate] = {}
        self._failed: list[int] = []
        self._visits: list[Visited] = []
        self._usage: list[tuple[int | None, int]] = []
        self._longest = 0.0  # s, for which requests of the level before may go on
        # Of the present visit:
        self._answered: list[Request] = []
        self._failures: list[Request] = []
        self._before: dict[Request, None] = {}

    async def run(self) -> SweepResult:
        """Measure until the curve is known, the time is used up, or `stop`.

        Raises:
            MeasureError: The server answers nothing, or too slowly for the limit.
        """
        self._start = self._now()
        self._deadline = self._start + self._settings.limit
        try:
            return await self._run()
        finally:
            self._alarm.close()

    def stop(self) -> None:
        """End with what was measured so far."""
        self._interrupted = True
        self._ring()
        if self._preparing is not None:
            self._preparing.cancel()

    async def _run(self) -> SweepResult:
        settings = self._settings
        model, self._target, self._requests, latency = await self._prepared()
        loop = ClosedLoop(self._target, self._requests, settings.timeout, self._clock, self._ended)
        aims = Aims(settings.most, settings.precision)
        try:
            while True:
                levels = [Level(n, rate) for n, rate in self._levels.items()]
                left = 0.0 if self._interrupted else self._left
                step = next_visit(levels, self._failed, aims, left, latency)
                if isinstance(step, Stop):
                    return self._result(model, levels, step)
                await self._visit(loop, step)
        finally:
            await loop.close()

    def _result(self, model: str, levels: list[Level], stop: Stop) -> SweepResult:
        settings = self._settings
        if not levels:
            raise MeasureError(self._nothing())
        prompts = [prompt for prompt, _ in self._usage if prompt is not None]
        outputs = [output for _, output in self._usage]
        output = sum(outputs) / len(outputs) if outputs else 0.0
        work = output if settings.unit == "tokens" and output else None
        return SweepResult(
            url=settings.load.url,
            model=model,
            curve=measured_curve(
                points_of(levels), settings.unit, model or "measured", mean_work=work
            ),
            visits=tuple(self._visits),
            stopped=stop,
            interrupted=self._interrupted,
            seconds=self._now() - self._start,
            limit=settings.limit,
            precision=settings.precision,
            prompt_tokens=sum(prompts) / len(prompts) if prompts else None,
            output_tokens=output,
        )

    def _nothing(self) -> str:
        url, limit = self._settings.load.url, self._settings.limit
        if self._interrupted:
            return f"{url}: stopped before any workload was measured"
        for visit in self._visits:
            if visit.trouble:
                return (
                    f"{url}: no workload could be measured; N = {visit.workload}: {visit.trouble}"
                )
        return f"{url}: no workload could be measured in {limit:g} s; give a longer --limit"

    # Before the first visit

    async def _prepared(self) -> tuple[str, Target, Requests, float]:
        """The model, the server, requests for it, and the latency of one alone, s."""
        settings, load = self._settings, self._settings.load
        self._preparing = asyncio.current_task()
        try:
            if not load.model and Target(load).kind != "get":
                model = await find_model(load, min(settings.timeout, self._left), self._clock)
                load = replace(load, model=model)
            target = Target(load, settings.fields)
            requests = Requests(target, self._schedule, secrets.randbits(_FIRST_TEXTS))
            return load.model, target, requests, await self._alone(target, requests)
        except asyncio.CancelledError:
            if self._interrupted:
                raise MeasureError(self._nothing()) from None
            raise
        finally:
            self._preparing = None

    async def _alone(self, target: Target, requests: Requests) -> float:
        """Latency of a request alone, s, of two: the first may have to warm things up.

        Raises:
            MeasureError: There is no answer, or a sweep takes longer than the limit.
        """
        url, limit = self._settings.load.url, self._settings.limit
        found = []
        for _ in range(2):
            timeout = max(min(self._settings.timeout, self._left), 0.0)
            answer = await probe(url, target, requests.make, timeout, self._clock, self._pause)
            found.append(max(answer.end - answer.start, 1e-6))
        needed = (_LEVELS if self._settings.most > 1 else 1) * _LATENCIES * min(found)
        if needed > self._left:
            raise MeasureError(
                f"{url}: one request alone takes {min(found):.3g} s, and a sweep at least "
                f"{needed + limit - self._left:.3g} s; give a longer --limit than {limit:g} s, or "
                "fewer --output-tokens"
            )
        return math.sqrt(found[0] * found[1])

    # A visit

    async def _visit(self, loop: ClosedLoop, visit: Visit) -> None:
        """Stay at a level, and keep what was measured there."""
        began, cpu = self._now(), self._cpu()
        self._answered, self._failures = [], []
        loop.hold(visit.workload, over=visit.latency)
        # Requests of a higher level end first: servers may go on with what is abandoned.
        await self._until(began + self._longest, lambda: len(loop.flying) <= visit.workload)
        await self._until(max(began + visit.latency, self._now()))
        self._before = dict(loop.flying)
        await self._until(self._now() + _TURNOVER * visit.latency, lambda: not self._before)
        rate, trouble = await self._window(loop, visit)
        seconds = self._now() - began
        visited = Visited(
            workload=visit.workload,
            began=began - self._start,
            seconds=seconds,
            rate=rate.rate if rate else None,
            error=rate.error if rate else None,
            completions=rate.completions if rate else float(len(self._answered)),
            failures=dict(Counter(one.error for one in self._failures).most_common()),
            trouble=trouble,
            note=_NOTE if self._cpu() - cpu > _BUSY * seconds else "",
        )
        self._visits.append(visited)
        self._usage += [one.usage() for one in self._answered]
        self._report(visited, self._now() - self._start)
        self._longest = _EMPTY * (rate.latency if rate else visit.latency)
        if rate is not None:
            known = self._levels.get(visit.workload)
            self._levels[visit.workload] = known.with_more(rate) if known else rate
        elif self._left > 0.0 and not self._interrupted:
            self._failed.append(visit.workload)
            loop.drop()
            pause = max((wait_of(one) for one in self._failures), default=_WAIT)
            self._failures = []
            await self._pause(pause)
            if not any(one.start >= began for one in self._answered):
                await self._is_there()

    async def _is_there(self) -> None:
        """After a visit without an answer: each request alone that fails is one at level 1."""
        for _ in range(2):
            timeout = min(self._settings.timeout, self._left)
            answer = await ask(self._target, self._requests.make, timeout, self._clock)
            if not answer.error or answer.throttled or self._interrupted:
                return
            self._failed.append(1)

    async def _window(self, loop: ClosedLoop, visit: Visit) -> tuple[Rate | None, str]:
        """Measure the rate from now on; else why there is none."""
        begin, first = self._now(), len(self._answered)

        planned = visit.seconds * visit.workload / visit.latency
        least = max(_LEAST, _PLANNED * planned)
        longer = min((_LONGER - 1.0) * visit.seconds, _PART * self._left)
        await self._until(begin + visit.seconds)
        await self._until(self._now() + longer, lambda: len(self._answered) - first >= least)
        end = self._now()
        times = [one.end - one.start for one in self._answered[first:]]
        tail = _TAIL * (sum(times) / len(times) if times else visit.latency)
        self._before = dict(loop.flying)
        await self._until(end + tail, lambda: not self._before)
        if self._before:  # how much of what came later counts is not known yet
            end = min(end, self._now() - tail)
        if self._troubled or (self._failures and not self._answered):
            return None, self._trouble()
        if end - begin < _WORTH * visit.seconds:
            cut = "stopped" if self._interrupted else f"the limit of {self._settings.limit:g} s"
            return None, f"cut short: {cut}"
        in_tokens = self._settings.unit == "tokens"
        spans = [one.span(in_tokens) for one in (*self._answered, *loop.flying) if one.sent_at_all]
        rate = rate_of(spans, begin, end, tail) if spans else None
        if rate is None or rate.completions < _FEWEST:
            answered = counted(len(self._answered) - first, "answer")
            return None, f"too slow: {answered} in {end - begin:.3g} s{self._and_failures()}"
        return rate, ""

    def _trouble(self) -> str:
        kinds = Counter(one.error for one in self._failures)
        many = len(self._failures)
        what = ", ".join(f"{kind} ({n})" for kind, n in kinds.most_common())
        words = f"{many} of {many + len(self._answered)} requests failed: {what}"
        throttled = [one for one in self._failures if one.throttled]
        asked = [one.retry_after.decode("latin-1") for one in throttled if one.retry_after]
        if throttled:
            words += "; the server throttles"
        return words + (f", Retry-After {asked[-1]}" if asked else "")

    def _and_failures(self) -> str:
        return f"; {self._trouble()}" if self._failures else ""

    # Waiting

    @property
    def _left(self) -> float:
        """Time left, s."""
        return max(self._deadline - self._now(), 0.0)

    @property
    def _troubled(self) -> bool:
        """Whether the present level has failed too often to count.

        Of throttling a share says nothing: clients that were refused wait before they ask again.
        """
        failed = len(self._failures)
        if sum(one.throttled for one in self._failures) > _ONCE:
            return True
        return failed > _FEW and failed > _SHARE * (failed + len(self._answered))

    async def _pause(self, seconds: float) -> None:
        await self._until(self._now() + seconds)

    async def _until(self, at: float, done: Callable[[], bool] | None = None) -> None:
        """Wait until `at` or the limit, or earlier: until `done`, `stop`, or trouble."""
        at = min(at, self._deadline)
        self._done = done
        if self._now() >= at or self._awake():
            return
        self._wake = asyncio.get_running_loop().create_future()
        self._alarm.set(at)
        try:
            await self._wake
        finally:
            self._wake = None
            self._alarm.set(math.inf)

    def _awake(self) -> bool:
        return self._interrupted or self._troubled or (self._done is not None and self._done())

    def _ring(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _ended(self, request: Request) -> None:
        (self._failures if request.error else self._answered).append(request)
        self._before.pop(request, None)
        if self._wake is not None and self._awake():
            self._ring()


def run_sweep(
    settings: SweepSettings, schedule: Schedule, report: Report = lambda _, __: None
) -> SweepResult:
    """Measure the service curve of a live server; SIGINT ends it with what was measured.

    Args:
        settings: What to measure, how well, and in what time.
        schedule: Sizes of requests, in the order in which they are sent; times do not count.
        report: Called after each visit of a level, with the time since the start, s.

    Raises:
        MeasureError: The server answers nothing, or too slowly for the limit.
    """
    return uvloop.run(_run(settings, schedule, report))


async def _run(settings: SweepSettings, schedule: Schedule, report: Report) -> SweepResult:
    sweep = Sweep(settings, schedule, report=report)
    with contextlib.ExitStack() as undo:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, sweep.stop)
            undo.callback(loop.remove_signal_handler, signal.SIGINT)
        return await sweep.run()
