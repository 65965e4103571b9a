"""Children that the driver's process forks: what only the parent may use is let go of there.

A child has copies of the parent's objects, but none of its threads. It must not end the parent's
workers, write its journal or wait for its driver, whether it calls for that or merely exits.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """An object that stands for something which one process has."""

    def disown(self) -> None:
        """In a child, just forked: leave what is the parent's alone from now on."""


_OWNERS: WeakSet[Forkable] = WeakSet()


def owned(owner: Forkable) -> None:
    """Have an object told in each child that this process forks, as long as it lives."""
    _OWNERS.add(owner)


def _disown_all() -> None:
    for owner in tuple(_OWNERS):
        owner.disown()
    _OWNERS.clear()


os.register_at_fork(after_in_child=_disown_all)
