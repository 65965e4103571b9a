"""The task of `dispatch_policies`, in a module that a worker imports in no time."""

import time
from typing import NamedTuple


class Counted(NamedTuple):
    """What a task returns."""

    words: int
    seconds: float  # that it took, with what it waited for its chunk itself
    node: str  # where, as its engine calls it; empty if the engine says


def count(text: bytes, speed: float, node: str = "", late: float = 0.0) -> Counted:
    """Count words at `speed` bytes/s; `late`: s that it waits for its chunk."""
    began = time.perf_counter()
    words = len(text.split())
    time.sleep(max(0.0, began + late + len(text) / speed - time.perf_counter()))
    return Counted(words, time.perf_counter() - began, node)
