"""Cache of one value, for threads that want the same one at about the same time."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, Self, TypeVar, final

V = TypeVar("V")


@final
class Latest(Generic[V]):
    """Keeps the value of the key that was asked for last; who asks first makes it, others wait."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._key: Hashable = None
        self._value: Future[V] = Future()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """A copy in another process begins without a value."""
        return type(self), ()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key, not None; what `make` raises is raised to all who wait for it."""
        with self._lock:
            first = key != self._key
            if first:
                self._key, self._value = key, Future()
            value = self._value
        if first:
            try:
                value.set_result(make())
            except BaseException as error:
                value.set_exception(error)
        return value.result()
