"""From what a caller gives to a task; in the caller's thread, so that she hears what is wrong.

Keys of tasks.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple, TypeVar, final

from isocline.arguments import in_one_line, is_number
from isocline.dispatch.futures import Callbacks, TaskFuture
from isocline.dispatch.journal.journal import Journal
from isocline.dispatch.submission.chunk_locations import Locations, checked, reader
from isocline.dispatch.submission.fingerprint import Walked, fingerprint, walked
from isocline.dispatch.submission.identity import Data, Files, Identity, Version, Versions
from isocline.dispatch.submission.payload import Function, Payloads
from isocline.dispatch.submission.task import Task
from isocline.dispatch.user_code_guard import Caught, guarded, plain_text, shown, words
from isocline.errors import UsageError


@final
class Keys:
    """Of one scheduler. With a journal, in which results stand by key, each one is given once."""

    def __init__(self, once: bool) -> None:
        self._once = once
        self._given: Counter[str] = Counter()
        self._lock = Lock()

    def make(self, function: str, chunk: str | None, job: str) -> str:
        """A key for a task that was given none, the same one in the next run of the same tasks."""
        key = f"{function}({chunk or ''})"
        if job:
            key = f"{job}/{key}"
        if not self._once:
            return key
        with self._lock:
            self._given[key] += 1
            count = self._given[key]
        return key if count == 1 else f"{key}#{count}"

    def check(self, key: str) -> str:
        """A key that was given; raises UsageError if it was given before."""
        if self._once:
            with self._lock:
                self._given[key] += 1
                if self._given[key] > 1:
                    raise UsageError(
                        f"submit: key {key!r} is given a second time; with a journal give each "
                        "task another"
                    )
        return key


T = TypeVar("T")


class Submission(NamedTuple):
    """What a caller gives."""

    function: Callable[..., Any]
    chunk: str | None
    arguments: Sequence[Any]
    named: Mapping[str, Any]
    key: str | None
    limit: float | None  # s


@final
class TaskFactory:
    """Of one scheduler; for any threads."""

    def __init__(
        self,
        locations: Locations | None,
        journal: Journal | None,
        limit: float | None,
        cancelled: Callable[[int], None],
        callbacks: Callbacks,
        may_wait: Callable[[str], None],
        loader: Callable[[Any], object] | None = None,
        version: Version | None = None,
    ) -> None:
        """Takes nothing yet.

        Args:
            locations: Which nodes hold a chunk.
            journal: Where results of an earlier run may be.
            limit: s for a task that is given none; None: any time.
            cancelled: Told the number of a task whose caller has cancelled it.
            callbacks: Where those of futures are called.
            may_wait: As of `TaskFuture`.
            loader: What makes of a chunk the value that a task gets.
            version: What tells one state of a chunk's data from another. Default: none is told.
        """
        require_positive("limit", limit)
        self._locations = reader(locations)
        self._journal = journal
        self._limit = limit
        self._cancelled = cancelled
        self._callbacks = callbacks
        self._may_wait = may_wait
        self._calls = Payloads()
        self._keys = Keys(once=journal is not None)
        self._numbers = itertools.count()
        self._versions = Versions(version or Files())
        self._loader = _examined(lambda: walked(loader), "loader") if journal else Walked(b"", ())

    def task(self, wanted: Submission, job: int, job_name: str) -> Task:
        """A new task.

        Raises:
            UsageError: Something of it cannot be used.
            JournalError: The journal has another task of that key.
        """
        require_positive("limit", wanted.limit)
        function = self._calls.function(wanted.function)
        arguments = self._calls.arguments(function.name, wanted.arguments, wanted.named)
        chunk = _chunk_name(wanted.chunk)
        holders = () if chunk is None else self._holders(chunk)
        key = wanted.key
        if key is None:
            key = self._keys.make(function.name, chunk, job_name)
        else:
            key = self._keys.check(plain_text(key))
        number = next(self._numbers)
        task = Task(
            number=number,
            key=key,
            function=function,
            arguments=arguments,
            chunk=chunk,
            holders=holders or (),
            asked=holders is None,
            limit=self._limit if wanted.limit is None else wanted.limit,
            job=job,
            future=TaskFuture(key, number, self._cancelled, self._callbacks, self._may_wait),
        )
        if self._journal:
            task.fingerprint, task.data = _examined(
                lambda: self._identity(function, arguments, wanted, chunk), function.name
            )
            task.found = self._journal.find(key, task.fingerprint)
        return task

    def _identity(
        self, function: Function, arguments: bytes, wanted: Submission, chunk: str | None
    ) -> tuple[bytes, Data | None]:
        """What the result of a task depends on; and its data, if that is to be seen at its end."""
        given = self._calls.walked_arguments(arguments, wanted.arguments, wanted.named)
        code = self._calls.walked(function)
        paths = [*code.paths, *self._loader.paths, *given.paths]
        data, at_end = self._versions.of(chunk, paths)
        identity = Identity(
            code.fingerprint,
            self._loader.fingerprint,
            fingerprint((given.fingerprint, chunk)),
            data,
        )
        return identity.packed(), at_end

    def _holders(self, chunk: str) -> tuple[str, ...] | None:
        found = guarded(lambda: checked(self._locations(chunk), chunk))
        if not isinstance(found, Caught):
            return found
        if isinstance(found.error, UsageError):
            raise found.error
        raise UsageError(
            f"locations: for chunk {chunk!r} they raise {words(found.error)}; return a list of "
            "names of nodes, or None where only the engine knows"
        ) from found.error


def _examined(make: Callable[[], T], name: str) -> T:
    """What is made of fingerprints; raises UsageError if the users' values among them raise."""
    found = guarded(make)
    if not isinstance(found, Caught):
        return found
    if isinstance(found.error, UsageError):
        raise found.error
    raise UsageError(
        f"submit: {name} has no fingerprint, as a part of it, or of its arguments, raises "
        f"{words(found.error)} when it is taken apart; mend that, or do without a journal"
    ) from found.error


def _chunk_name(chunk: object) -> str | None:
    if chunk is None:
        return None
    if not isinstance(chunk, str):
        raise UsageError(f"submit: chunk {shown(chunk)} is not a string; give the chunk's name")
    return plain_text(chunk)


def require_positive(name: str, value: float | None) -> None:
    """Raises UsageError if a value is given that is not a finite number above 0."""
    if value is not None and not (is_number(value) and 0 < value < math.inf):
        raise UsageError(
            f"scheduler: {name} is {in_one_line(value)}; give a finite number above 0, or None"
        )
