"""Start and end of each compilation of a kernel, for those who report it.

It imports nothing, so that one can listen before numba is there. A kernel that is loaded from disk
is no event, but for one that another process was compiling and this one waited for. Kernels that
one kernel calls are compiled within it.
"""

from abc import ABC, abstractmethod


class Listener(ABC):
    """Called from the thread that compiles."""

    @abstractmethod
    def started(self) -> None:
        """A kernel is about to be compiled."""

    @abstractmethod
    def finished(self) -> None:
        """It is there; not called for one that cannot be compiled."""


_listeners: list[Listener] = []


def add(listener: Listener) -> None:
    """Have a listener called from now on."""
    _listeners.append(listener)


def remove(listener: Listener) -> None:
    """No longer call a listener."""
    _listeners.remove(listener)


def started() -> None:
    """Report that a kernel is about to be compiled."""
    for listener in _listeners:
        listener.started()


def finished() -> None:
    """Report that a kernel was compiled."""
    for listener in _listeners:
        listener.finished()
