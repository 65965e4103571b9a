"""Driver's side of a shared scheduler: a job like others, whose scheduler is elsewhere.

with connect("10.0.0.1:8790", "nightly", key=KEY, weight=2) as job:
    for result in job.map(function, chunks): ...
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar, final

from isocline.dispatch.errors import EngineClosedError, input_failed, unpickled
from isocline.dispatch.executor import Executor
from isocline.dispatch.futures import Callbacks, TaskFuture, cancel_quietly, fail, finish
from isocline.dispatch.inputs import Broadcast, Input
from isocline.dispatch.sharing import protocol
from isocline.dispatch.sharing.protocol import Ended, SentInput
from isocline.dispatch.submission.inputs import fill_input
from isocline.dispatch.submission.payload import Function
from isocline.dispatch.submission.submitter import Submitter
from isocline.dispatch.submission.task import Task
from isocline.dispatch.submission.task_factory import Submission, TaskFactory
from isocline.dispatch.user_code_guard import Caught, words
from isocline.errors import UsageError

T = TypeVar("T")

_FUNCTIONS = 256  # most functions that the scheduler keeps of a driver


def connect(address: str, name: str, *, key: str | bytes, weight: float = 1.0) -> "SharedJob":
    """Connect to the scheduler that another process shares at an address (`Scheduler.share`).

    Args:
        address: HOST:PORT.
        name: Name of the job, a prefix of the keys of its tasks.
        key: The secret that the scheduler was shared with.
        weight: Weight in the fair share of the nodes.

    Raises:
        UsageError: Nothing answers there, the key is another, or an argument is invalid.
    """
    where = protocol.address_of(address)
    secret = protocol.key_of(key)
    try:
        connection = Client(where, authkey=secret)
    except OSError as error:
        raise UsageError(
            f"address {address}: nothing answers there ({error.strerror or error}); call "
            "Scheduler.share there"
        ) from error
    except Exception as error:  # of the handshake
        raise UsageError(
            f"address {address}: refuses this driver ({words(error)}); give the key of "
            "Scheduler.share there"
        ) from error
    protocol.set_options(connection)
    try:
        connection.send(protocol.Hello(name, weight))
        welcome = connection.recv()
    except (EOFError, OSError) as error:
        raise UsageError(f"address {address}: the scheduler there is closed") from error
    if not isinstance(welcome, protocol.Welcome):
        connection.close()
        raise welcome if isinstance(welcome, UsageError) else UsageError(str(welcome))
    return SharedJob(connection, address, name, weight, welcome)


@final
class SharedJob(Submitter):
    """Job on the scheduler of another process, which it shares with other drivers by weight.

    As a context manager, it waits for all its tasks at the end of the block; an exception that
    leaves the block cancels them. If this process dies, its tasks are cancelled.

    Attributes:
        name: Prefix of the keys of its tasks.
        weight: Weight in the fair share while other jobs have waiting tasks.
    """

    def __init__(
        self,
        connection: "Connection[Any, Any]",
        address: str,
        name: str,
        weight: float,
        welcome: protocol.Welcome,
    ) -> None:
        """Initialise; made by `connect`."""
        self.name = name
        self.weight = weight
        self._connection = connection
        self._address = address
        self._window = welcome.window
        self._callbacks = Callbacks()
        self._lock = threading.RLock()  # guards all that follows, and sending
        self._idle = threading.Condition(self._lock)
        self._under_way: dict[int, TaskFuture[Any]] = {}
        self._functions: OrderedDict[bytes, int] = OrderedDict()
        self._dropped: SimpleQueue[int] = SimpleQueue()
        self._there: set[int] = set()  # numbers of inputs that the scheduler has
        self._over = False
        self._factory = TaskFactory(
            None,
            None,
            None,
            self._future,
            release=self._dropped.put,  # sent later: garbage may be collected anywhere
            numbers=itertools.count(welcome.first_input),
        )
        self._receiver = threading.Thread(target=self._receive, name="isocline-job", daemon=True)
        self._receiver.start()

    def _put(self, submission: Submission) -> TaskFuture[Any]:
        task = self._factory.task(submission, 0, self.name)
        with self._lock:
            self._require_open(task.key)
            self._send_drops()
            if not self._fails(task):
                message = self._message(task)
                self._under_way[task.number] = task.future
                self._send(message)
        return task.future

    def broadcast(self, value: T) -> Broadcast[T]:
        """Make a handle to a large object for many tasks; see `Scheduler.broadcast`.

        Raises:
            UsageError: It cannot be pickled.
        """
        return self._factory.broadcast(value)

    def executor(self) -> Executor:
        """Make an executor as of `concurrent.futures`, whose calls are tasks of this job."""
        return Executor(self._put, self._cancel_waiting, self.broadcast, lambda: self.window)

    @property
    def window(self) -> int:
        return self._window

    def close(self) -> None:
        """Wait for all tasks, and disconnect. May be called repeatedly."""
        with self._idle:
            self._idle.wait_for(lambda: not self._under_way)
        self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._disconnect()

    # Steps

    def _fails(self, task: Task) -> bool:
        """Whether an input of a task has failed, or was cancelled, and so ends it."""
        for future in task.awaited:
            if future.number in self._under_way:
                continue
            error = None if future.cancelled() else future.exception()
            if error is None and future.input and future.input.number not in self._there:
                error = None if future.cancelled() else fill_input(future)
            if error is not None:
                fail(task.future, input_failed(task.key, future.key, error))
                return True
            if future.cancelled():
                cancel_quietly(task.future)
                return True
        return False

    def _message(self, task: Task) -> protocol.Submit:
        """Describe a task, with what the scheduler does not have of it; called under the lock."""
        function, code = self._function(task.function)
        futures = {future.input.number: future for future in task.awaited if future.input}
        inputs = tuple(self._sent(given, futures.get(given.number)) for given in task.inputs)
        kept = task.future.input
        if kept is not None:
            self._there.add(kept.number)
        return protocol.Submit(
            task.number,
            task.key,
            function,
            task.function.name,
            code,
            task.arguments,
            task.chunk,
            task.limit,
            task.need,
            inputs,
            None if kept is None else kept.number,
        )

    def _sent(self, given: Input, future: TaskFuture[Any] | None) -> SentInput:
        """Describe an input: what it is, if the scheduler does not know it.

        A future whose end was heard of is sent as data, as the scheduler has forgotten its task.
        """
        live = future is not None and future.number in self._under_way
        of = future.number if future is not None and live else None
        if given.number in self._there:
            return SentInput(given.number, of)
        self._there.add(given.number)
        return SentInput(given.number, of, given.data, given.shared)

    def _function(self, function: Function) -> tuple[int, bytes | None]:
        number = self._functions.get(function.pickled)
        if number is not None:
            self._functions.move_to_end(function.pickled)
            return number, None
        number = len(self._functions)
        if number == _FUNCTIONS:  # the scheduler then has this one in place of the oldest
            number = self._functions.popitem(last=False)[1]
        self._functions[function.pickled] = number
        return number, function.pickled

    def _future(self, key: str, number: int) -> TaskFuture[Any]:
        return TaskFuture(key, number, self._cancel, self._callbacks)

    def _cancel(self, number: int) -> None:
        with self._lock:
            self._send(protocol.Cancel((number,), waiting=False))

    def _cancel_waiting(self, futures: Sequence[TaskFuture[Any]]) -> None:
        with self._lock:
            self._send(protocol.Cancel(tuple(it.number for it in futures), waiting=True))

    def _send_drops(self) -> None:
        """Have the scheduler drop inputs that nothing uses any more; called under the lock."""
        with suppress(Empty):
            while True:
                number = self._dropped.get_nowait()
                if number in self._there:
                    self._there.discard(number)
                    self._send(protocol.Drop(number))

    def _send(self, message: object) -> None:
        with suppress(OSError):  # the receiver notices, and ends all tasks
            self._connection.send(message)

    def _receive(self) -> None:
        reason = "the connection to the scheduler broke"
        try:
            while True:
                message = self._connection.recv()
                assert isinstance(message, Ended)
                self._ended(message)
        except (EOFError, OSError):
            """It has gone, or this driver has disconnected."""
        except Exception as error:  # what came is no message
            reason = f"{reason} ({words(error)})"
        with self._idle:
            self._over = True
            left, self._under_way = list(self._under_way.values()), {}
            self._idle.notify_all()
        for future in left:
            fail(future, EngineClosedError(future.key, f"{reason} at {self._address}"))
        self._callbacks.close(0.0)

    def _ended(self, message: Ended) -> None:
        with self._idle:
            future = self._under_way.pop(message.number, None)
            self._send(protocol.Forget(message.number))
            self._send_drops()
        if future is None:
            return
        future.node = message.node
        if message.error is not None:
            fail(future, _error(future.key, message.error))
        elif message.value is None:
            cancel_quietly(future)
        else:
            self._give(future, message.value)
        with self._idle:
            if not self._under_way:
                self._idle.notify_all()

    @staticmethod
    def _give(future: TaskFuture[Any], value: bytes) -> None:
        found = unpickled(future.key, "its result", value)
        if isinstance(found, Caught):
            fail(future, found.error)
        else:
            finish(future, found)

    def _require_open(self, key: str) -> None:
        if self._over:
            raise EngineClosedError(key, f"the job at {self._address} is closed; connect again")

    def _disconnect(self) -> None:
        with self._lock:
            self._over = True
        protocol.cut(self._connection)
        self._receiver.join()
        self._connection.close()


def _error(key: str, pickled: bytes) -> BaseException:
    """Exception with which a task ended, and its cause."""
    found = unpickled(key, "its exception", pickled)
    if isinstance(found, Caught):
        return found.error
    error, cause = found
    assert isinstance(error, BaseException)
    BaseException.__setattr__(error, "__cause__", cause)
    return error
