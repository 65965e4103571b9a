"""Jobs that travel, and news that comes late; for Poisson arrivals and exponential sizes.

The events of `tracked`, and besides: a job reaches its backend, a backend writes a report, news
reaches the frontends. Each frontend has its own picture, so to policies every edge is a backend of
its own: `view.workload[e]` is what the frontend of edge e believes of the backend at its end.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint32, uint64

from isocline.compilation.compiled import kernel
from isocline.policies.routing.contract import View
from isocline.randomness.draws import below, step, unit
from isocline.randomness.exponential import exponential
from isocline.simulate.common.kernels.alias_tables import BITS, column_of
from isocline.simulate.common.kernels.counters import (
    ARENA_FULL,
    ARRIVALS,
    CLOCK,
    COMPLETIONS,
    DONE,
    EVENTS,
    JOB_SECONDS,
    JOBS,
    NOT_A_CANDIDATE,
    RATE,
    RATE_SECONDS,
    REST,
    SOJOURN,
    TABLE_FULL,
    TIMED,
    Streams,
    System,
)
from isocline.simulate.common.kernels.latency_histogram import record
from isocline.simulate.routing.kernels import candidates
from isocline.simulate.routing.kernels.delay_queue import DelayQueue, is_full, next_due, pop, push
from isocline.simulate.routing.kernels.job_arena import Jobs, add, remove, reserve

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.int64]

# What news says: of an edge, that one of its jobs is there, or has ended; of a backend, its
# workload, which is added to the last.
ENDED, THERE, WORKLOAD = 0, 1, 2


class Network(NamedTuple):
    """B backends, E edges: what is true, and how late it is known.

    Made by the engine, which adds room to the queues.
    """

    # (B,) int32, jobs at each backend. Written by `join` and `depart`.
    workload: IntArray
    # (B,) int32, its row of `System.rate`. Read-only.
    row: IntArray
    # (E,) int32, the backend of each edge. Read-only.
    sink: IntArray
    # (B + 1,) int64, the edges into b are into[into_first[b] : into_first[b + 1]]. Read-only.
    into_first: IndexArray
    # (E,) int64, numbers of edges. Read-only.
    into: IndexArray
    # (E,) int32, jobs sent that the frontend does not yet know to be there. Written by `route` and
    # `learn`.
    unseen: IntArray
    # (B,) float64, s, when each backend writes its first report, in that order; below `every`.
    # Read-only.
    phase: FloatArray
    # (B,) int32, which backend that is. Read-only.
    turn: IntArray
    # (1,) int64, reports written. Written by `write_report`.
    written: IndexArray
    # (1,) float64, s, the event that was next when room ran out; else 0. Written by `run_delayed`.
    pending: FloatArray
    # Jobs by edge. Written by `route` and `join`.
    travelling: DelayQueue
    # By edge or backend. Written by `join`, `depart`, `write_report` and `learn`.
    news: DelayQueue
    # How long a job is on its way to its backend, s.
    travel: float
    # How long news is on its way to the frontends, s.
    report: float
    # s between reports; 0 if every change is news.
    every: float
    # Whether `unseen` counts in a frontend's picture.
    own: bool


@kernel
def next_report(net: Network) -> float:
    """When the next backend writes, s; inf where changes are told one by one.

    Reads `net.phase` and `net.written`.
    """
    if net.every == 0.0:
        return np.inf
    backends = net.phase.size
    rounds, at = net.written[0] // backends, net.written[0] % backends
    return float(net.phase[at] + rounds * net.every)


@kernel
def write_report(net: Network, now: float) -> None:
    """One backend sends its workload.

    Writes `net.written` and `net.news`.
    """
    backend = net.turn[net.written[0] % net.phase.size]
    net.written[0] += 1
    push(net.news, now + net.report, backend, WORKLOAD + net.workload[backend], 0.0)


@kernel
def learn(net: Network, view: View) -> int:
    """Frontends get the next piece of news; returns the edge of a job that ended, else -1.

    Writes `view.workload`, (E,) here, `net.unseen` and `net.news`.
    """
    at = pop(net.news)
    who, what = net.news.who[at], net.news.what[at]
    if what >= WORKLOAD:
        for i in range(net.into_first[who], net.into_first[who + 1]):
            edge = net.into[i]
            view.workload[edge] = what - WORKLOAD + (net.unseen[edge] if net.own else 0)
        return -1
    if what == THERE:
        net.unseen[who] -= 1
    if net.every == 0.0:
        backend = net.sink[who]
        change = 1 if what == THERE else -1
        for i in range(net.into_first[backend], net.into_first[backend + 1]):
            view.workload[net.into[i]] += change
        if net.own and what == THERE:
            view.workload[who] -= 1  # it was counted when it was sent
    elif net.own and what == ENDED:
        view.workload[who] = max(view.workload[who] - 1, 0)
    return who if what == ENDED else -1


@kernel
def join(net: Network, system: System, jobs: Jobs, gauge: Any, now: float) -> int:
    """The next job reaches its backend; whether there is room for another.

    Writes `net.travelling`, `net.news` and `net.workload`, `jobs`, and RATE of `gauge`, (GAUGES,)
    float64.
    """
    at = pop(net.travelling)
    edge, born = net.travelling.who[at], net.travelling.since[at]
    backend: Any = uint32(net.sink[edge])
    row = uint32(net.row[backend])
    n = net.workload[backend]
    add(jobs, backend, n, system.places[backend], born, edge)
    net.workload[backend] = n + 1
    gauge[RATE] += system.rate[row, uint32(n + 1)] - system.rate[row, uint32(n)]
    push(net.news, now + net.report, edge, THERE, 0.0)
    if n + 1 == system.rate.shape[1] - 1:
        return TABLE_FULL
    return DONE if reserve(jobs, backend, n + 1, system.places[backend]) else ARENA_FULL


@kernel
def route(
    choose: Any,
    view: View,
    net: Network,
    system: System,
    streams: Streams,
    source: Any,
    count: Any,
    now: float,
) -> int:
    """A frontend sends a job; whether it may, and the table goes as far as it believes.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        view: The kernel writes `workload`; the policy, `memory`.
        net: `travelling` and `unseen` are written.
        system: `numbers` is scratch; the rest is read-only.
        streams: `policy` is advanced by the policy's draws.
        source: The frontend's number, a uint32.
        count: (COUNTERS,) int64, written: JOBS and ARRIVALS.
        now: s.
    """
    low, high = system.first[source], system.first[uint32(source + 1)]
    start = candidates.at(system, low, high)
    allowed = system.numbers[start : start + high - low]
    edge = choose(allowed, view, now, streams.policy)
    if edge < low or edge >= high:
        return NOT_A_CANDIDATE
    push(net.travelling, now + net.travel, edge, 0, now)
    net.unseen[edge] += 1
    if net.own:
        view.workload[edge] += 1
    count[JOBS] += 1
    count[ARRIVALS] += 1
    return TABLE_FULL if view.workload[edge] >= system.rate.shape[1] - 1 else DONE


@kernel
def depart(
    net: Network,
    system: System,
    streams: Streams,
    jobs: Jobs,
    backend: Any,
    thinning: float,
    count: Any,
    gauge: Any,
    histogram: Any,
    now: float,
) -> None:
    """A possible departure; `thinning`, uniform on [0, 1), decides.

    Args:
        net: `workload` and `news` are written.
        system: Read-only.
        streams: `leaving` is advanced by the draw of a job.
        jobs: The jobs at backends; written.
        backend: Its number, a uint32.
        thinning: Uniform on [0, 1).
        count: (COUNTERS,) int64, written: JOBS, COMPLETIONS and TIMED.
        gauge: (GAUGES,) float64, written: RATE and SOJOURN.
        histogram: (BUCKETS,) int32, jobs by sojourn; those completed are added, unless they were
            there at the start.
        now: s.
    """
    row = uint32(net.row[backend])
    n = net.workload[backend]
    served = system.rate[row, uint32(n)]
    if thinning * system.peak[row] >= served:
        return
    places = system.places[backend]
    index = below(streams.leaving, min(n, places))
    at = jobs.start[backend] + index
    born, edge = jobs.born[at], jobs.edge[at]
    remove(jobs, backend, index, n, places)
    net.workload[backend] = n - 1
    gauge[RATE] += system.rate[row, uint32(n - 1)] - served
    push(net.news, now + net.report, edge, ENDED, now - born)
    count[JOBS] -= 1
    count[COMPLETIONS] += 1
    if born >= 0.0:
        record(histogram, now - born)
        gauge[SOJOURN] += now - born
        count[TIMED] += 1


@kernel
def run_delayed(
    choose: Any,
    observe: Any,
    view: View,
    net: Network,
    system: System,
    streams: Streams,
    jobs: Jobs,
    count: Any,
    gauge: Any,
    histogram: Any,
    until: float,
    observing: bool,
) -> int:
    """Run until the clock is at `until`; returns why it stopped.

    Args:
        choose: The policy's function, of type `CHOOSE`.
        observe: Its function of type `OBSERVE`.
        view: Of one backend for each edge: `workload` is (E,) int32. The kernel writes `workload`;
            the policy, `memory`.
        net: Written: see there.
        system: `numbers` is scratch; the rest is read-only.
        streams: Advanced by the draws.
        jobs: The jobs at backends; written, but for `key`, which means nothing here.
        count: (COUNTERS,) int64, written: JOBS (those on their way included), ARRIVALS,
            COMPLETIONS, EVENTS and TIMED.
        gauge: (GAUGES,) float64, written: CLOCK, RATE, JOB_SECONDS, RATE_SECONDS and SOJOURN.
        histogram: (BUCKETS,) int32, jobs by sojourn; those completed are added, unless they were
            there at the start.
        until: s.
        observing: Whether `observe` is called.

    Returns:
        DONE, TABLE_FULL, ARENA_FULL or NOT_A_CANDIDATE of `counters`.
    """
    gap = 1.0 / system.speed
    s0, s1 = streams.events[0], streams.events[1]
    now = gauge[CLOCK]
    tick = net.pending[0]
    if tick == 0.0:
        s0, s1, pause = exponential(s0, s1)
        tick = now + pause * gap
    status = DONE
    while status == DONE:
        told, there, writing = next_due(net.news), next_due(net.travelling), next_report(net)
        then = min(tick, told, there, writing, until)
        gauge[JOB_SECONDS] += count[JOBS] * (then - now)
        gauge[RATE_SECONDS] += gauge[RATE] * (then - now)
        now = then
        if now >= until:
            break
        count[EVENTS] += 1
        if told == now:
            latency = net.news.since[uint32(net.news.ends[0])]
            ended = learn(net, view)
            if observing and ended >= 0:
                observe(ended, latency, now, view)
        elif there == now:
            status = join(net, system, jobs, gauge, now)
        elif writing == now:
            write_report(net, now)
        else:
            s0, s1, event = step(s0, s1)
            if event >> uint64(BITS) < system.arriving:
                source = uint32(column_of(system.sources, event & REST))
                status = route(choose, view, net, system, streams, source, count, now)
            else:
                backend = uint32(column_of(system.sinks, event & REST))
                s0, s1, bits = step(s0, s1)
                coin = unit(bits)
                depart(net, system, streams, jobs, backend, coin, count, gauge, histogram, now)
            s0, s1, pause = exponential(s0, s1)
            tick = now + pause * gap
        if status == DONE and (is_full(net.news, 1) or is_full(net.travelling, 1)):
            status = ARENA_FULL
    streams.events[0], streams.events[1] = s0, s1
    gauge[CLOCK] = now
    # At the end of a block the rest of the gap is forgotten, as in `tracked`. Where room ran out it
    # is kept, or the policies would not all see the same arrivals.
    net.pending[0] = 0.0 if status == DONE else tick
    return status
