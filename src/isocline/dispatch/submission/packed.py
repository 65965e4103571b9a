"""Task as the process of another driver has packed it."""

from typing import Any, NamedTuple

from isocline.dispatch.core.resources import Need
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Input


class PackedTask(NamedTuple):
    """Task whose function and arguments are pickled, and whose result is to stay so."""

    key: str
    name: str  # of its function
    function: bytes  # cloudpickled
    arguments: bytes
    chunk: str | None
    limit: float | None  # s
    need: Need
    inputs: tuple[Input, ...]  # to which `arguments` refer
    awaited: tuple[TaskFuture[Any], ...]  # futures among them
    keep: Input | None  # its result as an input of other tasks
