"""A scheduler on an engine: tasks that depend on one another, with chunks of each kind."""

import sys
from operator import add
from pathlib import Path
from typing import Any

import cloudpickle

from isocline.dispatch.engines.base import Engine
from isocline.dispatch.scheduler import Scheduler

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def load(chunk: Any) -> list[Any]:
    """Loader that shows what it was given."""
    return [type(chunk).__name__, str(chunk)]


def length(values: Any, more: int = 0) -> int:
    return len(values) + more


def check_dependent_tasks(engine: Engine) -> None:
    """Futures, a broadcast, a reduction and paths as chunks; `engine` has `load` as loader."""
    with Scheduler(engine, everywhere=True) as live:
        chunks: list[Any] = ["c", Path("a/b"), ("t", 3)]
        assert list(live.map(tuple, chunks)) == [
            ("str", "c"),
            (type(Path()).__name__, "a/b"),
            ("tuple", "('t', 3)"),
        ]
        large = live.submit(bytes, None, 1 << 20)
        handle = live.broadcast(bytes(1 << 20))
        many = [live.submit(length, None, given, 1) for given in (large, handle) * 8]
        total = live.submit(sum, None, many)
        assert total.result() == 16 * ((1 << 20) + 1)
        numbers = [("n", number) for number in range(20)]
        for in_order in (False, True):
            assert live.reduce(length, add, numbers, in_order=in_order) == 40
