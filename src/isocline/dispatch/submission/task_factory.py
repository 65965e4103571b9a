"""Task factory: makes and checks tasks in the caller's thread, where errors are raised.

With a journal, each task needs a key that is the same in the next run; `Keys` makes and checks
keys.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any, NamedTuple, TypeVar, final

from isocline.arguments import in_one_line, is_number
from isocline.dispatch.chunk_names import Chunk, chunk_name, given_chunk
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Broadcast
from isocline.dispatch.journal.identity import Identity, data_of
from isocline.dispatch.journal.journal import Journal
from isocline.dispatch.submission.chunk_locations import Locations, checked, reader
from isocline.dispatch.submission.fingerprint import Walked, fingerprint, walked
from isocline.dispatch.submission.inputs import Inputs
from isocline.dispatch.submission.needs import need_of
from isocline.dispatch.submission.packed import PackedTask
from isocline.dispatch.submission.payload import Function, Payloads
from isocline.dispatch.submission.task import Task
from isocline.dispatch.submission.versions import Data, Files, Version, Versions
from isocline.dispatch.user_code_guard import Caught, guarded, plain_text, words
from isocline.errors import UsageError


@final
class Keys:
    """Keys of one scheduler; with a journal, each may be used only once."""

    def __init__(self, once: bool) -> None:
        self._once = once
        self._given: Counter[str] = Counter()
        self._lock = Lock()

    def make(self, function: str, chunk: str | None, job: str) -> str:
        """Make a key for a task without one; a repeated run makes the same keys."""
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
        """Register a given key; raises UsageError if it was used before."""
        if self._once:
            with self._lock:
                self._given[key] += 1
                if self._given[key] > 1:
                    raise UsageError(
                        f"submit: key {key!r} is used twice; with a journal, give each task its "
                        "own key"
                    )
        return key


T = TypeVar("T")


class Submission(NamedTuple):
    """Function, chunk, arguments and options of a call."""

    function: Callable[..., Any]
    chunk: Chunk | None
    arguments: Sequence[Any]
    named: Mapping[str, Any]
    key: str | None
    limit: float | None  # s
    resources: Mapping[str, float] | None = None
    keep: bool = False  # whether its result will be an input of other tasks


@final
class TaskFactory:
    """Task factory of one scheduler; safe for several threads.

    Attributes:
        inputs: Maker of its inputs.
    """

    def __init__(
        self,
        locations: Locations | None,
        journal: Journal | None,
        limit: float | None,
        future: Callable[[str, int], TaskFuture[Any]],
        loader: Callable[[Any], object] | None = None,
        version: Version | None = None,
        release: Callable[[int], object] = lambda _number: None,
        numbers: Iterator[int] | None = None,
    ) -> None:
        """Initialise.

        Args:
            locations: Nodes that hold a chunk.
            journal: Journal with results of an earlier run, if any.
            limit: Default time limit of a task, s; None: no limit.
            future: Makes the future of a task, by its key and number.
            loader: Function from a chunk to the value that the task gets.
            version: Function from a chunk to the version of its data; None: no versions.
            release: As in `Inputs`.
            numbers: As in `Inputs`.
        """
        require_positive("limit", limit)
        self._locations = reader(locations)
        self._journal = journal
        self._limit = limit
        self._future = future
        self._calls = Payloads()
        self.inputs = Inputs(release, numbers)
        self._keys = Keys(once=journal is not None)
        self._numbers = itertools.count()
        self._versions = Versions(version or Files())
        self._loader = _examined(lambda: walked(loader), "loader") if journal else Walked(b"", ())

    def task(self, submission: Submission, job: int, job_name: str) -> Task:
        """Make a task.

        Raises:
            UsageError: A part of it is invalid.
            JournalError: The journal has a different task with that key.
        """
        require_positive("limit", submission.limit)
        function = self._calls.function(submission.function)
        given = self.inputs.collector()
        arguments = self._calls.arguments(
            function.name, submission.arguments, submission.named, given.refer
        )
        chunk = None if submission.chunk is None else _chunk_name(submission.chunk)
        holders = () if chunk is None else self._holders(chunk)
        key = submission.key
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
            engine_locates=holders is None,
            limit=self._limit if submission.limit is None else submission.limit,
            job=job,
            future=self._future(key, number),
            inputs=tuple(given.found.values()),
            awaited=(awaited := tuple(given.futures.values())),
            missing=len(awaited),
            need=need_of(submission.resources),
        )
        task.future.owner = self.inputs
        if submission.keep:
            self.inputs.of(task.future)
        if self._journal:
            task.fingerprint, task.data = _examined(
                lambda: self._identity(function, arguments, submission, chunk, awaited),
                function.name,
            )
            task.future.identity = task.fingerprint
            command = getattr(type(submission.function), "is_shell_command", False) is True
            task.found = self._journal.find(key, task.fingerprint, command=command)
        return task

    def packed_task(self, packed: PackedTask, job: int) -> Task:
        """Make a task of what another process has packed; raises UsageError for its locations."""
        require_positive("limit", packed.limit)
        holders = () if packed.chunk is None else self._holders(packed.chunk)
        number = next(self._numbers)
        task = Task(
            number=number,
            key=packed.key,
            function=self._calls.packed(packed.name, packed.function),
            arguments=packed.arguments,
            chunk=packed.chunk,
            holders=holders or (),
            engine_locates=holders is None,
            limit=self._limit if packed.limit is None else packed.limit,
            job=job,
            future=self._future(packed.key, number),
            inputs=packed.inputs,
            awaited=packed.awaited,
            missing=len(packed.awaited),
            need=packed.need,
        )
        task.future.packed, task.future.input = True, packed.keep
        return task

    def broadcast(self, value: T) -> Broadcast[T]:
        """Make a handle to an object for many tasks; raises UsageError if it cannot be pickled."""
        return self.inputs.broadcast(value)

    def _identity(
        self,
        function: Function,
        arguments: bytes,
        submission: Submission,
        chunk: str | None,
        awaited: Sequence[TaskFuture[Any]],
    ) -> tuple[bytes, Data | None]:
        """Return a task's identity and, if its data may change, a function for that at the end."""
        given = self._calls.walked_arguments(arguments, submission.arguments, submission.named)
        code = self._calls.walked(function)
        paths = [*code.paths, *self._loader.paths, *given.paths]
        data, at_end = _with_inputs(awaited, *self._versions.of(chunk, paths))
        identity = Identity(
            code.fingerprint,
            self._loader.fingerprint,
            fingerprint((given.fingerprint, chunk and given_chunk(chunk))),
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
            f"locations: for chunk {chunk!r} the function raises {words(found.error)}; return a "
            "list of node names, or None to ask the engine"
        ) from found.error


def _with_inputs(
    awaited: Sequence[TaskFuture[Any]], data: bytes, at_end: Data | None
) -> tuple[bytes, Data | None]:
    """Extend the version of a task's data, now and at its end, by that of its inputs' data."""
    if not awaited:
        return data, at_end

    def joined(own: bytes) -> bytes:
        return fingerprint((own, [data_of(future.identity) for future in awaited]))

    return joined(data), lambda: joined(at_end() if at_end else data)


def _examined(make: Callable[[], T], name: str) -> T:
    """Call a maker of fingerprints; raises UsageError if users' objects raise."""
    found = guarded(make)
    if not isinstance(found, Caught):
        return found
    if isinstance(found.error, UsageError):
        raise found.error
    raise UsageError(
        f"submit: {name} has no fingerprint, as a part of it, or of its arguments, raises "
        f"{words(found.error)} when examined; correct that, or do without a journal"
    ) from found.error


def _chunk_name(chunk: object) -> str:
    if isinstance(chunk, Future):
        raise UsageError(
            "submit: a future stands in the place of the chunk; give None for a task without one: "
            "submit(function, None, future)"
        )
    try:
        return chunk_name(chunk)
    except UsageError as error:
        raise UsageError(f"submit: {error}") from None


def require_positive(name: str, value: float | None) -> None:
    """Raise UsageError unless a value is None or a finite number above 0."""
    if value is not None and not (is_number(value) and 0 < value < math.inf):
        raise UsageError(
            f"scheduler: {name} is {in_one_line(value)}; give a finite number above 0, or None"
        )
