"""Imports without garbage collection."""

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause garbage collection while modules are imported, and exempt them from it afterwards.

    Modules stay until the process ends, yet the collector would go over their objects time and
    again while they are imported, and once more at the exit: a tenth of a short run.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        _exempt()
        gc.enable()


@functools.cache  # once per process: counting what is exempt goes over all of it
def _exempt() -> None:
    if not gc.get_freeze_count():  # otherwise someone else decides what is exempt
        gc.freeze()
