"""Forked children of the scheduler's process: they let go of all that only the parent may use.

A child has copies of the parent's objects, but none of its threads. It must not end the parent's
workers, write its journal or wait for its event loop, whether on a call or at its exit.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Object that stands for something owned by one process."""

    def disown(self) -> None:
        """Let go, in a child just forked, of everything that is the parent's alone."""


_OWNERS: WeakSet[Forkable] = WeakSet()


def owned(owner: Forkable) -> None:
    """Have `disown` called in each child that this process forks, as long as the object lives."""
    _OWNERS.add(owner)


def _disown_all() -> None:
    for owner in tuple(_OWNERS):
        owner.disown()
    _OWNERS.clear()


os.register_at_fork(after_in_child=_disown_all)
