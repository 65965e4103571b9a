"""Loop over the blocks of a run, for either kind of model."""

from threading import Event
from typing import Protocol

from isocline.simulate.common.growth_limit import ExplodedError


class _Recorder(Protocol):
    def step(self, i: int) -> None: ...
    def drain(self) -> None: ...


def block_loop(record: _Recorder, steps: int, drain: bool, stop: Event | None) -> bool | None:
    """Run all blocks; whether the run grew beyond the limit, or None if `stop` was set meanwhile.

    Args:
        record: Advances the run by one or more blocks a step, and notes them.
        steps: How many lead to the horizon.
        drain: Go on to the last departure.
        stop: Looked at before each step.
    """
    try:
        for i in range(steps):
            if stop is not None and stop.is_set():
                return None
            record.step(i)
        if drain:
            record.drain()
    except ExplodedError:
        return True
    return False
