"""Busiest windows of a trace: when most work comes, at which rates, and how large its jobs are."""

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.traffic.trace import Trace

FloatArray = npt.NDArray[np.float64]


class Window(NamedTuple):
    """Which windows to find."""

    length: float  # s
    how_many: int


@final
class BusyWindow(NamedTuple):
    """One window of a trace."""

    start: float  # s
    rates: tuple[float, ...]  # requests/s of each frontend
    work: float  # mean, of its requests


def busiest_windows(
    trace: Trace,
    work: FloatArray,
    frontends: Sequence[str],
    shares: Sequence[float],
    window: Window,
) -> tuple[BusyWindow, ...]:
    """Find the windows in which most work comes, the busiest first.

    Windows lie side by side from the beginning of the trace.

    Args:
        trace: The trace. A request comes in at the frontend that its label names.
        work: (n,) of each request.
        frontends: Names.
        shares: In which frontends share a trace without labels, in proportion.
        window: Length of the windows, and how many to find.

    Raises:
        UsageError: The trace is shorter than a window, has a label that no frontend has, or no
            request with work.
    """
    if window.length > trace.length:
        raise UsageError(
            f"window: {window.length:g} s is longer than the trace, {trace.length:.6g} s; give a "
            "shorter one"
        )
    at = (trace.times // window.length).astype(np.int64)
    brought = np.bincount(at, work)
    if not brought.any():
        raise UsageError("its requests hold no work; give other weights under `work`")
    busiest = np.argsort(-brought, kind="stable")[: window.how_many].tolist()
    of = _frontends(trace, frontends)
    weights = np.array(shares) / np.sum(shares)
    found = []
    for number in busiest:
        inside = at == number
        count = int(inside.sum())
        if not brought[number] > 0.0:
            break
        if of is None:
            rates = weights * (count / window.length)
        else:
            rates = np.bincount(of[inside], minlength=len(frontends)) / window.length
        mean = float(brought[number]) / count
        found.append(BusyWindow(number * window.length, tuple(rates.tolist()), mean))
    return tuple(found)


def _frontends(trace: Trace, frontends: Sequence[str]) -> npt.NDArray[np.int64] | None:
    mix = trace.mix
    if mix is None:
        return None
    missing = [label for label in mix.labels if label not in frontends]
    if missing and not mix.required and len(missing) == len(mix.labels):
        return None
    if missing:
        raise UsageError(
            f"trace {trace.name}: no frontend has the name {missing[0]!r}; there are "
            f"{', '.join(frontends)}. Rename them, or leave {mix.column}= out of its columns"
        )
    return np.array([frontends.index(label) for label in mix.labels])[mix.of]
