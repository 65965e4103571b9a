"""Imports without garbage collection, and imports while kernels run."""

import functools
import gc
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


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


def _exempt() -> None:
    if _is_ours():
        gc.freeze()


@functools.cache  # once per process: counting what is exempt goes over all of it
def _is_ours() -> bool:
    """Whether nobody else decides what is exempt."""
    return not gc.get_freeze_count()


@functools.cache  # once
def import_meanwhile(module: str) -> None:
    """Import a module in a thread, while this one waits for kernels: they run without the lock.

    What goes wrong is raised where the module is imported next.
    """
    threading.Thread(target=_imported, args=(module,), daemon=True).start()


def _imported(module: str) -> None:
    with suppress(Exception):
        importlib.import_module(module)
