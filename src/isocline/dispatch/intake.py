"""From what a caller gives to a task; in the caller's thread, so that she hears what is wrong."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

from isocline.dispatch.calls import Calls, Function
from isocline.dispatch.fingerprint import fingerprint
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.identity import Files, Identity, Version, Versions
from isocline.dispatch.journal import Journal
from isocline.dispatch.keys import Keys
from isocline.dispatch.locations import Locations, checked, reader
from isocline.dispatch.tasks import Task
from isocline.errors import UsageError


class Wanted(NamedTuple):
    """What a caller gives."""

    function: Callable[..., Any]
    chunk: str | None
    arguments: Sequence[Any]
    named: Mapping[str, Any]
    key: str | None
    limit: float | None  # s


@final
class Intake:
    """Of one scheduler; for any threads."""

    def __init__(
        self,
        locations: Locations | None,
        journal: Journal | None,
        limit: float | None,
        cancelled: Callable[[int], None],
        loader: Callable[[Any], object] | None = None,
        version: Version | None = None,
    ) -> None:
        """Takes nothing yet.

        Args:
            locations: Which nodes hold a chunk.
            journal: Where results of an earlier run may be.
            limit: s for a task that is given none; None: any time.
            cancelled: Told the number of a task whose caller has cancelled it.
            loader: What makes of a chunk the value that a task gets.
            version: What tells one state of a chunk's data from another. Default: none is told.
        """
        require_positive("limit", limit)
        self._locations = reader(locations)
        self._journal = journal
        self._limit = limit
        self._cancelled = cancelled
        self._calls = Calls()
        self._keys = Keys(once=journal is not None)
        self._numbers = itertools.count()
        self._versions = Versions(version or Files())
        self._loader = fingerprint(loader) if journal else b""

    def task(self, wanted: Wanted, job: int, job_name: str) -> Task:
        """A new task.

        Raises:
            UsageError: Something of it cannot be used.
            JournalError: The journal has another task of that key.
        """
        require_positive("limit", wanted.limit)
        function = self._calls.function(wanted.function)
        arguments = self._calls.arguments(function.name, wanted.arguments, wanted.named)
        holders = self._holders(wanted.chunk)
        key = wanted.key
        if key is None:
            key = self._keys.make(function.name, wanted.chunk, job_name)
        else:
            self._keys.check(key)
        number = next(self._numbers)
        task = Task(
            number=number,
            key=key,
            function=function,
            arguments=arguments,
            chunk=wanted.chunk,
            holders=holders or (),
            asked=holders is None,
            limit=self._limit if wanted.limit is None else wanted.limit,
            job=job,
            future=TaskFuture(key, number, self._cancelled),
        )
        if self._journal:
            task.fingerprint = self._identity(function, arguments, wanted)
            task.found = self._journal.find(key, task.fingerprint)
            if self._versions.looks_again:
                task.data = self._versions.of
        return task

    def _identity(self, function: Function, arguments: bytes, wanted: Wanted) -> bytes:
        """What the result of a task depends on."""
        given = self._calls.fingerprint_of_arguments(arguments, wanted.arguments, wanted.named)
        return Identity(
            self._calls.fingerprint(function),
            self._loader,
            fingerprint((given, wanted.chunk)),
            self._versions.of(wanted.chunk),
        ).packed()

    def _holders(self, chunk: str | None) -> tuple[str, ...] | None:
        if chunk is None:
            return ()
        if not isinstance(chunk, str):
            raise UsageError(f"submit: chunk {chunk!r} is not a string; give the chunk's name")
        return checked(self._locations(chunk), chunk)


def require_positive(name: str, value: float | None) -> None:
    """Raises UsageError if a value is given that is not a finite number above 0."""
    if value is not None and not 0 < value < math.inf:
        raise UsageError(f"scheduler: {name} is {value}; give a finite number above 0, or None")
