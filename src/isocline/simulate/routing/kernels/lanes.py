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
engine uses this kernel yet.
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
    JOBS,
    RATE,
    RATE_SECONDS,
    REST,
    TABLE_FULL,
    System,
)

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int32]

WIDTH = 16  # two vectors of 512 bits; loops of 8 are unrolled before they would become vectors
BLOCK = 32  # ticks; their draws, 20 KB, stay in the first-level cache
_LOW = uint64(0xFFFFFFFF)
_HALF = uint64(32)


class Lanes(NamedTuple):
    """State of up to WIDTH runs over B backends; column i of each array is lane i.

    Made by `lanes`; the kernel writes all of it. Lanes beyond `used` mean nothing.
    """

    used: int
    # (4 WIDTH,) uint64, generators: first and second word of the stream of events, then of the
    # policy's, for all lanes each.
    generators: Words
    # (WIDTH, B) int32, jobs at each backend: a lane's own are together.
    workload: Integers
    # (COUNTERS, WIDTH) int64 and (GAUGES, WIDTH) float64, as of `run_chain`, but for FETCHED.
    counter: npt.NDArray[np.int64]
    gauge: npt.NDArray[np.float64]
    # (WIDTH,) int32, the workload at which the lane's run alone is stopped for a larger table.
    limit: Integers
    # (WIDTH,) int32, the most jobs at any backend so far.
    highest: Integers
    # (WIDTH,) float64, scratch: what is to be added to RATE_SECONDS, jobs/s.
    rate_sum: npt.NDArray[np.float64]
    # Scratch. By tick: (4 BLOCK WIDTH,) int32, three candidates, and 1 for an arrival, else 0;
    # then (BLOCK WIDTH,) each, jobs/s that make a departure happen if the backend serves more
    # (infinite for an arrival); what the tick adds to the jobs; and to the rate, jobs/s; and the
    # jobs at its backend afterwards.
    picks: Integers
    threshold: npt.NDArray[np.float64]
    joined: npt.NDArray[np.int64]
    gained: npt.NDArray[np.float64]
    level: Integers


def lanes(
    events: Words, policy: Words, workload: Integers, rate: npt.NDArray[np.float64], limit: int
) -> Lanes:
    """Runs at their start.

    Args:
        events: (n, 2) uint64, each run's stream of events; 1 <= n <= WIDTH.
        policy: (n, 2) uint64, its policy's stream.
        workload: (n, B) int32, jobs at each backend.
        rate: (n,) float64, total service rate at these workloads, jobs/s.
        limit: Largest workload in the tables that a run alone starts with; above all of `workload`.
    """
    used, backends = workload.shape
    generators = np.zeros((2, 2, WIDTH), np.uint64)
    generators[0, :, :used], generators[1, :, :used] = events.T, policy.T
    own = np.zeros((WIDTH, backends), np.int32)
    own[:used] = workload
    counter, gauge = np.zeros((COUNTERS, WIDTH), np.int64), np.zeros((GAUGES, WIDTH))
    counter[JOBS, :used], gauge[RATE, :used] = workload.sum(axis=1), rate
    highest = np.zeros(WIDTH, np.int32)
    highest[:used] = workload.max(axis=1)
    ticks = BLOCK * WIDTH
    return Lanes(
        used,
        generators.reshape(-1),
        own,
        counter,
        gauge,
        np.full(WIDTH, limit, np.int32),
        highest,
        np.zeros(WIDTH),
        np.zeros(4 * ticks, np.int32),
        np.zeros(ticks),
        np.zeros(ticks, np.int64),
        np.zeros(ticks),
        np.zeros(ticks, np.int32),
    )


def suits(view: View, system: System) -> bool:
    """Whether the system has one frontend, all of whose backends are alike."""
    backends = view.row.size
    return (
        system.first.size == 2
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
    counter = lanes.counter
    done = counter[EVENTS, 0]
    largest = system.rate.shape[1] - 1
    status = DONE
    while done < ticks:
        if _highest(lanes) + BLOCK > largest:
            status = TABLE_FULL
            break
        block = min(ticks - done, BLOCK)
        _draw(lanes, system, d, block)
        _move(lanes, system.rate[0], block)
        _add_up(lanes, block)
        done += block
    counter[EVENTS] = done
    if status == DONE:
        for lane in range(WIDTH):
            _note(lanes, lane)
    return status


@inlinable
def _highest(lanes: Lanes) -> int:
    """Most jobs at any backend so far."""
    highest = int64(0)
    for lane in range(lanes.used):
        highest = max(highest, int64(lanes.highest[lane]))
    return highest  # type: ignore[no-any-return]


@inlinable
def _note(lanes: Lanes, lane: int) -> None:
    """Add to a lane's RATE_SECONDS the ticks since the last time."""
    lanes.gauge[RATE_SECONDS, lane] += lanes.rate_sum[lane]
    lanes.rate_sum[lane] = 0.0


@kernel
def _draw(lanes: Lanes, system: System, d: int, block: int) -> None:
    """Fill `picks` and `threshold` for `block` ticks; advances `generators`."""
    state, picks, threshold = lanes.generators, lanes.picks, lanes.threshold
    # Through uint32, so that LLVM sees products of 32 bits each.
    backends = uint64(uint32(lanes.workload.shape[1]))
    others = uint64(uint32(max(lanes.workload.shape[1] - 1, 1)))
    rest = uint64(uint32(max(lanes.workload.shape[1] - 2, 1)))
    last = backends - uint64(1)
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
            # As `two_positions` and `shortest_of_three` draw.
            p0, p1 = state[2 * WIDTH + lane], state[3 * WIDTH + lane]
            q0, q1, pair = step(p0, p1)
            r0, r1, single = step(q0, q1)
            r0, r1 = r0 if three else q0, r1 if three else q1
            state[2 * WIDTH + lane] = r0 if arrival else p0
            state[3 * WIDTH + lane] = r1 if arrival else p1
            a = ((pair >> _HALF) * backends) >> _HALF
            b = ((pair & _LOW) * others) >> _HALF
            b = min(b + uint64(b >= a), last)
            c = ((single >> _HALF) * rest) >> _HALF
            c += uint64(c >= min(a, b))
            c += uint64(c >= max(a, b))
            c = min(c, last) if three else b
            sink = ((event & REST) * system.sinks.columns) >> uint64(BITS)
            at = 4 * WIDTH * tick + lane
            picks[at] = a if arrival else sink
            picks[at + WIDTH] = b if arrival else sink
            picks[at + 2 * WIDTH] = c if arrival else sink
            picks[at + 3 * WIDTH] = arrival
            threshold[WIDTH * tick + lane] = np.inf if arrival else unit(thinning) * peak


@kernel
def _move(lanes: Lanes, rate: Any, block: int) -> None:
    """Let jobs join and leave; writes `workload`, `joined`, `gained` and `level`.

    Args:
        lanes: `picks` and `threshold` are read.
        rate: (K,) float64, the curve of all backends, jobs/s; read-only.
        block: Number of ticks.
    """
    picks, threshold = lanes.picks, lanes.threshold
    joined, gained, level = lanes.joined, lanes.gained, lanes.level
    for tick in range(block):
        for lane in range(lanes.used):
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


@kernel
def _add_up(lanes: Lanes, block: int) -> None:
    """Add up `block` ticks of `joined`, `gained` and `level`."""
    jobs, area = lanes.counter[JOBS], lanes.counter[AREA]
    arrivals, completions = lanes.counter[ARRIVALS], lanes.counter[COMPLETIONS]
    picks, joined = lanes.picks, lanes.joined
    for tick in range(block):
        for lane in range(WIDTH):
            arrival = int64(picks[4 * WIDTH * tick + 3 * WIDTH + lane])
            change = joined[WIDTH * tick + lane]
            jobs[lane] += change
            area[lane] += jobs[lane]
            arrivals[lane] += arrival
            completions[lane] += arrival - change
    highest, level = lanes.highest, lanes.level
    for tick in range(block):
        for lane in range(WIDTH):
            highest[lane] = max(highest[lane], level[WIDTH * tick + lane])
    rate, rate_sum, gained = lanes.gauge[RATE], lanes.rate_sum, lanes.gained
    if _is_below_limits(lanes):
        for tick in range(block):
            for lane in range(WIDTH):
                rate[lane] += gained[WIDTH * tick + lane]
                rate_sum[lane] += rate[lane]
    else:
        for tick in range(block):
            for lane in range(lanes.used):
                rate[lane] += gained[WIDTH * tick + lane]
                rate_sum[lane] += rate[lane]
                if level[WIDTH * tick + lane] == lanes.limit[lane]:
                    lanes.limit[lane] = 2 * lanes.limit[lane] + 1
                    _note(lanes, lane)


@inlinable
def _is_below_limits(lanes: Lanes) -> bool:
    below = True
    for lane in range(lanes.used):
        below &= lanes.highest[lane] < lanes.limit[lane]
    return below
