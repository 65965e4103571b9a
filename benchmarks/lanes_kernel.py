"""Replications in lanes: the chain of `uniformised`, up to 16 replications in step.

Of JSQ(2) and JSQ(3) on like backends. There every random number of a tick is known before the state
is: the events' stream depends on nothing but itself, and the policy takes one or two draws for each
arrival and none for a departure. So a block of ticks is made in three passes:

1. All draws, decoded, for all lanes: straight-line arithmetic that LLVM turns into instructions on
   vectors of 64-bit numbers. A draw that a lane does not need is made all the same, and the state
   of its generator is kept.
2. The state, tick by tick and in each tick lane by lane, without a branch on anything random: a
   departure is an arrival whose candidates are all the same backend. Lanes do not touch each
   other's memory, so the processor has several under way while a lane waits for its own.
3. The sums over the ticks, on vectors again.

A lane makes the same draws as `run_chain` and adds the same numbers in the same order, which starts
anew where a run alone is stopped for a larger table: its results are the same to the last bit. No
engine uses this kernel: it gains with 16 replications per core, on like backends behind one
frontend. What else was tried is in docs/benchmarks.md.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import int64, uint32, uint64

from isocline.compilation.compiled import inlinable, kernel
from isocline.policies.routing.contract import View
from isocline.randomness.draws import step, unit
from isocline.simulate.common.kernels.alias_tables import BITS
from isocline.simulate.common.kernels.counters import (
    AREA,
    ARRIVALS,
    COMPLETIONS,
    COUNTERS,
    DONE,
    EVENTS,
    GAUGES,
    JOB_RATE,
    JOBS,
    RATE,
    RATE_SECONDS,
    REST,
    SAMPLED,
    TABLE_FULL,
    System,
)

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

WIDTH = 16  # two vectors of 512 bits; loops of 8 are unrolled before they would become vectors
BLOCK = 32  # ticks; their draws, 20 KB, stay in the first-level cache
# What lanes count and sum: all but for control variates.
COUNTED = np.arange(COUNTERS) != SAMPLED
SUMMED = np.arange(GAUGES) != JOB_RATE
_LOW = uint64(0xFFFFFFFF)
_HALF = uint64(32)


class Lanes(NamedTuple):
    """State of up to WIDTH runs over B backends; column i of each array is lane i.

    Made by `lanes`; the kernel writes all of it. Lanes without a run of their own repeat another.
    Arrays of several rows are flat, so that offsets in them are constants: LLVM need not ask
    whether rows overlap.
    """

    # (WIDTH, B) int32, jobs at each backend: a lane's own are together.
    workload: Integers
    # (COUNTERS, WIDTH) int64 and (GAUGES, WIDTH) float64, as of `run_chain`, but for FETCHED,
    # SAMPLED and JOB_RATE.
    counter: npt.NDArray[np.int64]
    gauge: Floats
    # (5 WIDTH,) uint64: first and second word of the generator of events, then of the policy's; and
    # arrivals.
    drawn: Words
    # (2 WIDTH,) int64: jobs, and their sum over the ticks of the call.
    jobs: npt.NDArray[np.int64]
    # (2 WIDTH,) float64, jobs/s: total service rate, and its sum over ticks that is still to be
    # added to RATE_SECONDS.
    rate: Floats
    # (1,) int32, the most jobs at any backend of any lane so far.
    highest: Integers
    # (WIDTH,) int32, the workload at which the lane's run alone is stopped for a larger table.
    limit: Integers
    # Scratch, (4 BLOCK WIDTH,) int32: of each tick three candidates, and 1 for an arrival, else 0.
    picks: Integers
    # Scratch, (BLOCK WIDTH,) each. Float64, jobs/s: a departure happens if the backend serves more;
    # infinite for an arrival.
    threshold: Floats
    # Int64, float64 and int32, of each tick: jobs that it adds; jobs/s that it adds to the rate;
    # the jobs at its backend afterwards.
    joined: npt.NDArray[np.int64]
    gained: Floats
    level: Integers


def lanes(events: Words, policy: Words, workload: Integers, rate: Floats, limit: int) -> Lanes:
    """Runs at their start.

    Args:
        events: (n, 2) uint64, each run's stream of events; 1 <= n <= WIDTH.
        policy: (n, 2) uint64, its policy's stream.
        workload: (n, B) int32, jobs at each backend.
        rate: (n,) float64, total service rate at these workloads, jobs/s.
        limit: Largest workload in the tables that a run alone starts with; above all of `workload`.
    """
    run = np.arange(WIDTH) % workload.shape[0]
    counter, gauge = np.zeros((COUNTERS, WIDTH), np.int64), np.zeros((GAUGES, WIDTH))
    counter[JOBS], gauge[RATE] = workload.sum(axis=1)[run], rate[run]
    ticks = BLOCK * WIDTH
    return Lanes(
        workload[run],
        counter,
        gauge,
        np.concatenate((*events[run].T, *policy[run].T, np.zeros(WIDTH, np.uint64))),
        np.zeros(2 * WIDTH, np.int64),
        np.concatenate((rate[run], np.zeros(WIDTH))),
        np.array([workload.max()], np.int32),
        np.full(WIDTH, limit, np.int32),
        np.zeros(4 * ticks, np.int32),
        np.zeros(ticks),
        np.zeros(ticks, np.int64),
        np.zeros(ticks),
        np.zeros(ticks, np.int32),
    )


def suits(view: View, system: System, d: int) -> bool:
    """Whether the system has one frontend, and `d` or more backends, all of them alike."""
    backends = view.row.size
    return (
        d <= backends
        and system.first.size == 2
        and system.rate.shape[0] == 1
        and np.array_equal(view.backend, np.arange(backends))
    )


@kernel
def run_lanes(lanes: Lanes, system: System, d: int, ticks: int) -> int:
    """Run until counter[EVENTS] is `ticks` in each lane; returns DONE or TABLE_FULL.

    Args:
        lanes: Advanced, all of them by the same number of ticks.
        system: Read-only; one that `suits`.
        d: 2 or 3, the size of the sample, drawn without replacement.
        ticks: Events since the start of the runs.
    """
    done = lanes.counter[EVENTS, 0]
    largest = system.rate.shape[1] - 1
    status = DONE
    _begin(lanes)
    while done < ticks:
        if lanes.highest[0] + BLOCK > largest:
            status = TABLE_FULL
            break
        block = min(ticks - done, BLOCK)
        _draw(lanes, system, d, block)
        highest = _move(lanes, system.rate[0], block)
        _add(lanes, block, highest)
        done += block
    _end(lanes, done, status == DONE)
    return status


@inlinable
def _begin(lanes: Lanes) -> None:
    """Take what the counters say."""
    for lane in range(WIDTH):
        lanes.drawn[4 * WIDTH + lane] = lanes.counter[ARRIVALS, lane]
        lanes.jobs[lane] = lanes.counter[JOBS, lane]
        lanes.jobs[WIDTH + lane] = 0
        lanes.rate[lane] = lanes.gauge[RATE, lane]


@inlinable
def _end(lanes: Lanes, done: int, at_end: bool) -> None:
    """Write the counters; RATE_SECONDS only at the end, as a sum over the ticks of a call."""
    for lane in range(WIDTH):
        jobs, arrivals = lanes.jobs[lane], int64(lanes.drawn[4 * WIDTH + lane])
        came = arrivals - lanes.counter[ARRIVALS, lane]
        lanes.counter[COMPLETIONS, lane] += lanes.counter[JOBS, lane] + came - jobs
        lanes.counter[ARRIVALS, lane] = arrivals
        lanes.counter[JOBS, lane] = jobs
        lanes.counter[AREA, lane] += lanes.jobs[WIDTH + lane]
        lanes.counter[EVENTS, lane] = done
        lanes.gauge[RATE, lane] = lanes.rate[lane]
        if at_end:
            _note_rates(lanes, lane)


@inlinable
def _note_rates(lanes: Lanes, lane: int) -> None:
    """Add to a lane's RATE_SECONDS the ticks since the last time."""
    lanes.gauge[RATE_SECONDS, lane] += lanes.rate[WIDTH + lane]
    lanes.rate[WIDTH + lane] = 0.0


@kernel
def _draw(lanes: Lanes, system: System, d: int, block: int) -> None:
    """Fill `picks` and `threshold` for `block` ticks; advances `drawn`."""
    state, picks, threshold = lanes.drawn, lanes.picks, lanes.threshold
    # Through uint32, so that LLVM sees products of 32 bits each.
    backends = uint64(uint32(lanes.workload.shape[1]))
    others = uint64(uint32(lanes.workload.shape[1] - 1))
    rest = uint64(uint32(lanes.workload.shape[1] - 2))
    peak = system.peak[0]
    arriving = system.arriving
    three = d == 3
    for tick in range(block):
        for lane in range(WIDTH):
            e0, e1, event = step(state[lane], state[WIDTH + lane])
            t0, t1, thinning = step(e0, e1)
            arrival = event >> uint64(BITS) < arriving
            state[lane] = e0 if arrival else t0
            state[WIDTH + lane] = e1 if arrival else t1
            state[4 * WIDTH + lane] += uint64(arrival)
            # As `two_positions` and `shortest_of_three` draw.
            p0, p1 = state[2 * WIDTH + lane], state[3 * WIDTH + lane]
            q0, q1, pair = step(p0, p1)
            r0, r1, single = step(q0, q1)
            r0, r1 = r0 if three else q0, r1 if three else q1
            state[2 * WIDTH + lane] = r0 if arrival else p0
            state[3 * WIDTH + lane] = r1 if arrival else p1
            a = ((pair >> _HALF) * backends) >> _HALF
            b = ((pair & _LOW) * others) >> _HALF
            b += uint64(b >= a)
            c = ((single >> _HALF) * rest) >> _HALF
            c += uint64(c >= min(a, b))
            c += uint64(c >= max(a, b))
            c = c if three else b
            sink = ((event & REST) * system.sinks.columns) >> uint64(BITS)
            at = 4 * WIDTH * tick + lane
            picks[at] = a if arrival else sink
            picks[at + WIDTH] = b if arrival else sink
            picks[at + 2 * WIDTH] = c if arrival else sink
            picks[at + 3 * WIDTH] = arrival
            threshold[WIDTH * tick + lane] = np.inf if arrival else unit(thinning) * peak


@kernel
def _move(lanes: Lanes, rate: Any, block: int) -> int:
    """Let jobs join and leave; returns the most jobs at a backend that any joined or left.

    Writes `workload`, `joined`, `gained` and `level`.

    Args:
        lanes: `picks` and `threshold` are read.
        rate: (K,) float64, the curve of all backends, jobs/s; read-only.
        block: Number of ticks.
    """
    picks, threshold = lanes.picks, lanes.threshold
    joined, gained, level = lanes.joined, lanes.gained, lanes.level
    highest = int64(0)
    for tick in range(block):
        for lane in range(WIDTH):
            at = 4 * WIDTH * tick + lane
            one = uint32(picks[uint32(at)])
            two = uint32(picks[uint32(at + WIDTH)])
            three = uint32(picks[uint32(at + 2 * WIDTH)])
            arrival = int64(picks[uint32(at + 3 * WIDTH)])
            workload = lanes.workload[uint32(lane)]
            first, second, third = workload[one], workload[two], workload[three]
            best = two if second < first else one
            least = min(first, second)
            best = three if third < least else best
            least = min(least, third)
            served = rate[uint32(least)]
            at = WIDTH * tick + lane
            change = arrival - int64(threshold[uint32(at)] < served)
            workload[best] = least + change
            level[uint32(at)] = least + change
            gained[uint32(at)] = rate[uint32(least + change)] - served
            joined[uint32(at)] = change
            highest = max(highest, least + change)
    return highest  # type: ignore[no-any-return]


@inlinable
def _add(lanes: Lanes, block: int, highest: int) -> None:
    """Add up a block of ticks in which `highest` was the most that a workload changed to."""
    lanes.highest[0] = max(lanes.highest[0], highest)
    if highest < _lowest_limit(lanes):
        _add_up(lanes, block)
    else:
        _add_up_to_limits(lanes, block)


@kernel
def _add_up(lanes: Lanes, block: int) -> None:
    """Add up `block` ticks of `joined` and `gained`."""
    jobs, joined, rate, gained = lanes.jobs, lanes.joined, lanes.rate, lanes.gained
    width = lanes.limit.size  # not a constant, or LLVM unrolls the loop before it makes vectors
    for tick in range(block):
        for lane in range(width):
            jobs[lane] += joined[WIDTH * tick + lane]
            jobs[WIDTH + lane] += jobs[lane]
            rate[lane] += gained[WIDTH * tick + lane]
            rate[WIDTH + lane] += rate[lane]


@kernel
def _add_up_to_limits(lanes: Lanes, block: int) -> None:
    """`_add_up`, and let the sum of rates start anew wherever a lane comes to its limit."""
    for tick in range(block):
        for lane in range(WIDTH):
            lanes.jobs[lane] += lanes.joined[WIDTH * tick + lane]
            lanes.jobs[WIDTH + lane] += lanes.jobs[lane]
            lanes.rate[lane] += lanes.gained[WIDTH * tick + lane]
            lanes.rate[WIDTH + lane] += lanes.rate[lane]
            if lanes.level[WIDTH * tick + lane] == lanes.limit[lane]:
                lanes.limit[lane] = 2 * lanes.limit[lane] + 1
                _note_rates(lanes, lane)


@inlinable
def _lowest_limit(lanes: Lanes) -> int:
    """Least `limit` of any lane."""
    lowest = lanes.limit[0]
    for lane in range(WIDTH):
        lowest = min(lowest, lanes.limit[lane])
    return lowest  # type: ignore[no-any-return]
