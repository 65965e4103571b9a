"""Handling of forks of the scheduler's process: a child gives up what only the parent may use.

A child has copies of the parent's objects, but none of its threads. Neither in a call nor at its
exit may it end the parent's workers, write to its journal or wait for its event loop.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Object for a resource that one process owns."""

    def disown(self) -> None:
        """Give up, in a newly forked child, everything that belongs to the parent."""


_OWNERS: WeakSet[Forkable] = WeakSet()


def owned(owner: Forkable) -> None:
    """Register an object whose `disown` is called in forked children, as long as it lives."""
    _OWNERS.add(owner)


def _disown_all() -> None:
    for owner in tuple(_OWNERS):
        owner.disown()
    _OWNERS.clear()


os.register_at_fork(after_in_child=_disown_all)
