"""Execution of one attempt at a node, from function and arguments to the event for the engine."""

import os
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, final

from isocline.dispatch.engines.base import Done, Raised
from isocline.dispatch.engines.common import calls
from isocline.dispatch.errors import UnreadError
from isocline.dispatch.pickling import Resolve
from isocline.dispatch.user_code_guard import end_fork

# True until the first attempt in this process, which opens files, fills caches and imports modules.
# It may take seconds where others take milliseconds, so its time must not count in rates.
_FIRST = [True]
# Ends of the names of files whose functions are on the stack during an import and a compilation.
_WHOLE = "<frozen importlib._bootstrap>", "numba/core/compiler_lock.py"


@final
class Interruption(BaseException):
    """Raised within a running attempt. Not an Exception, so that no task catches it by accident."""

    def __init__(self, timed_out: bool = False) -> None:
        self.timed_out = timed_out


def must_end(frame: FrameType | None) -> bool:
    """Whether a thread imports a module or compiles, which must not be cut off half way.

    What has been imported by then stays, and later tasks of the process find packages without their
    submodules.

    Args:
        frame: Innermost frame of the thread.
    """
    while frame is not None:
        if frame.f_code.co_filename.endswith(_WHOLE):
            return True
        frame = frame.f_back
    return False


class Read(NamedTuple):
    """Value of a chunk, and whether the node held it."""

    value: object
    held: bool


def performed(
    attempt: int,
    node: str,
    function: Callable[[], calls.Function],
    arguments: bytes,
    read: Callable[[], Read] | None,
    resolve: Resolve | None = None,
) -> Done | Raised:
    """Run one attempt to its end; raises nothing but Interruption.

    A child forked by the task that returns from it ends here; only the parent continues.

    Args:
        attempt: Number of the attempt.
        node: Name of the node.
        function: Returns the function to call.
        arguments: Pickled (args, kwargs).
        read: Reads the chunk; None: there is none.
        resolve: Returns an input by its number; None: there are none.
    """
    modules, process = len(sys.modules), os.getpid()
    first = _FIRST.pop() if _FIRST else False
    start = time.perf_counter()
    held, read_seconds = True, 0.0  # s
    try:
        called = function()
        if read is None:
            value = calls.call(called, arguments, resolve=resolve)
        else:
            chunk, held = read()
            read_seconds = time.perf_counter() - start
            value = calls.call(called, arguments, chunk, resolve=resolve)
    except Interruption:
        raise
    except BaseException as error:  # including sys.exit(), which must not end the node
        end_fork(process, error)
        return Raised(attempt, node, *calls.failure(error), isinstance(error, UnreadError))
    end_fork(process)
    seconds = time.perf_counter() - start
    cold = first or len(sys.modules) != modules
    return Done(attempt, node, value, seconds, read_seconds, held, cold)
