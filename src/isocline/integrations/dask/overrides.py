"""Methods of an object replaced for a time, each with the original at hand."""

from collections.abc import Callable
from typing import Any, final

_MISSING = object()


@final
class Overrides:
    """Attributes of one object, and entries of its tables, that are replaced until `undo`."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def method(self, of: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace a method of this object alone by `make(original)`."""
        before = vars(of).get(name, _MISSING)
        setattr(of, name, make(getattr(of, name)))

        def restore() -> None:
            if before is _MISSING:
                delattr(of, name)
            else:
                setattr(of, name, before)

        self._undo.append(restore)

    def entry(self, of: dict[str, Any], key: str, make: Callable[[Any], Any]) -> None:
        """Replace an entry of a table by `make(original)`."""
        before = of[key]
        of[key] = make(before)
        self._undo.append(lambda: of.__setitem__(key, before))

    def undo(self) -> None:
        """Restore all, the last one first."""
        while self._undo:
            self._undo.pop()()
