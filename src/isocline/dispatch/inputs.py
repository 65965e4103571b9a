"""Inputs: values that arguments of tasks refer to by number, and that a node gets at most once.

An input is the result of another task, or an object that is broadcast.
"""

import itertools
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar, final

_NUMBERS = itertools.count(1)  # unique in this process, so that no node mistakes one for another

T = TypeVar("T")


class InputData(NamedTuple):
    """Input as it is sent to a node."""

    number: int
    data: bytes  # pickled value
    shared: bool  # whether tasks of one process share the value, or each has its own


@final
class Input:
    """Input of tasks; nodes may drop its value when this object has no more users.

    Attributes:
        number: Number by which pickled arguments refer to it.
        shared: As in `InputData`.
        data: Pickled value; None until it is known.
        producer: Node that keeps it as a task's result, and how often that had been lost before.
    """

    __slots__ = ("__weakref__", "data", "number", "producer", "shared")

    def __init__(
        self, data: bytes | None = None, *, shared: bool = False, number: int | None = None
    ) -> None:
        self.number = next(_NUMBERS) if number is None else number
        self.shared = shared
        self.data = data
        self.producer: tuple[str, int] | None = None


@final
class Broadcast(Generic[T]):
    """Handle to an object for many tasks; a task that gets it as an argument gets the object.

    Attributes:
        value: The object.
        input: Its input.
    """

    def __init__(self, value: T, given: Input, owner: object, fingerprint: Callable[[], Any]):
        """Initialise; made by `Scheduler.broadcast`.

        Args:
            value: The object.
            given: Its input, with its pickle.
            owner: Maker of the tasks that may use it.
            fingerprint: Returns fingerprint and paths of the object.
        """
        self.value = value
        self.input = given
        self.owner = owner
        self.fingerprint = fingerprint

    def __repr__(self) -> str:
        size = len(self.input.data or b"")
        return f"<Broadcast of {type(self.value).__name__}, {size} bytes>"

    def __reduce__(self) -> Any:
        raise TypeError("a broadcast must be an argument of a task, on its own or in a container")
