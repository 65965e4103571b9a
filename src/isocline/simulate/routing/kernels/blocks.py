"""Bookkeeping of a run's blocks: counters are noted at the end of each block and reset.

A kernel that loops over the blocks itself saves a call for each. A call takes 10 us and waits for
the interpreter's lock, which together costs as much as 400 events.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.simulate.common.kernels.counters import (
    ABANDONED,
    AREA,
    ARRIVALS,
    COMPLETIONS,
    COUNTERS,
    GAUGES,
    JOB_RATE,
    JOB_SECONDS,
    LOST,
    RATE_SECONDS,
    RESENT,
    SAMPLED,
    SOJOURN,
    TIMED,
    UNFINISHED,
)

FloatArray = npt.NDArray[np.float64]


class Blocks(NamedTuple):
    """n blocks of a run of B backends; nothing is noted if the counters have no rows.

    Made by `measured` or `unread`; `read` and `end_block` write all but `end`.
    """

    # (1,) int64, how many have ended: rows from there on are not written yet.
    done: npt.NDArray[np.int64]
    # (n,) float64, s, increasing. Read-only.
    end: FloatArray
    # (n, COUNTERS) or (0, COUNTERS) int64: of each block, by the columns of `counters`.
    counts: npt.NDArray[np.int64]
    # (n, GAUGES) or (0, GAUGES) float64: likewise.
    gauges: FloatArray
    # (n, B) int32, jobs at the end of each block, or (0, B).
    snapshots: npt.NDArray[np.int32]
    # (4, B) float64, jobs: sums of these over each quarter of the blocks; (0, 0) if nothing is
    # noted.
    quarters: FloatArray


def measured(ends: FloatArray, backends: int, drawn: bool) -> Blocks:
    """Blocks whose counters are noted, with snapshots if they are to be `drawn`."""
    return Blocks(
        np.zeros(1, np.int64),
        ends,
        np.zeros((ends.size, COUNTERS), np.int64),
        np.zeros((ends.size, GAUGES)),
        np.zeros((ends.size if drawn else 0, backends), np.int32),
        np.zeros((4, backends)),
    )


def unread(until: float) -> Blocks:
    """One block that ends at `until`, s, and leaves the counters as they are."""
    return Blocks(
        np.zeros(1, np.int64),
        np.array([until]),
        np.zeros((0, COUNTERS), np.int64),
        np.zeros((0, GAUGES)),
        np.zeros((0, 0), np.int32),
        np.zeros((0, 0)),
    )


def read(blocks: Blocks, count: Any, gauge: Any, workload: Any) -> None:
    """Note the counters of the block that ends now, and reset them: for the interpreter.

    Args:
        blocks: All but `end` is written.
        count: (COUNTERS,) int64, set back as by `reset`.
        gauge: (GAUGES,) float64, set back as by `reset`.
        workload: (B,) int32, jobs at each backend now; read-only.
    """
    i = int(blocks.done[0])
    blocks.counts[i] = count
    blocks.gauges[i] = gauge
    if blocks.snapshots.size:
        blocks.snapshots[i] = workload
    blocks.quarters[4 * i // blocks.end.size] += workload
    reset(count, gauge)
    blocks.done[0] = i + 1


@kernel
def end_block(blocks: Blocks, count: Any, gauge: Any, workload: Any) -> None:
    """`read`, if blocks are measured, for kernels: array expressions would take longer to compile.

    Args:
        blocks: All but `end` is written.
        count: (COUNTERS,) int64, set back as by `reset`.
        gauge: (GAUGES,) float64, set back as by `reset`.
        workload: (B,) int32, jobs at each backend now; read-only.
    """
    i = blocks.done[0]
    blocks.done[0] = i + 1
    if blocks.counts.size == 0:
        return
    quarter = 4 * i // blocks.end.size
    for j in range(COUNTERS):
        blocks.counts[i, j] = count[j]
    for j in range(GAUGES):
        blocks.gauges[i, j] = gauge[j]
    for b in range(workload.size):
        blocks.quarters[quarter, b] += workload[b]
        if blocks.snapshots.size:
            blocks.snapshots[i, b] = workload[b]
    reset_compiled(count, gauge)


def reset(count: Any, gauge: Any) -> None:
    """Begin a block; the clock, the jobs that are there and the events so far go on.

    Of `count`, (COUNTERS,) int64, and `gauge`, (GAUGES,) float64, what is counted by block becomes
    0.
    """
    count[AREA] = count[ARRIVALS] = count[COMPLETIONS] = count[TIMED] = 0
    count[ABANDONED] = count[LOST] = count[RESENT] = count[SAMPLED] = 0
    gauge[JOB_SECONDS] = gauge[RATE_SECONDS] = gauge[SOJOURN] = gauge[UNFINISHED] = 0.0
    gauge[JOB_RATE] = 0.0


reset_compiled = kernel(reset)
