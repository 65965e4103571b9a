"""A run cut into blocks, whatever is simulated."""

from threading import Event
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from isocline.simulate.engines import ExplodedError


class _Engine(Protocol):
    def advance(self, until: float, /) -> Any: ...


class _Recorder(Protocol):
    def block(self, i: int) -> None: ...
    def drained(self) -> None: ...


def in_blocks(
    engine: _Engine,
    record: _Recorder,
    ends: npt.NDArray[np.float64],
    drain: bool,
    stop: Event | None,
) -> bool | None:
    """Whether there came to be more than the machine can keep; None if `stop` was set meanwhile."""
    try:
        for block, end in enumerate(ends):
            if stop is not None and stop.is_set():
                return None
            engine.advance(float(end))
            record.block(block)
        if drain:
            engine.advance(float("inf"))
            record.drained()
    except ExplodedError:
        return True
    return False
