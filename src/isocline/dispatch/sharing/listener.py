"""Listener for drivers: each gets a job of the scheduler, as long as it is connected."""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from multiprocessing.connection import (
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from queue import SimpleQueue
from typing import Any, NamedTuple, final

from isocline.dispatch import pickling
from isocline.dispatch.errors import RemoteError
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Input
from isocline.dispatch.log import LOG
from isocline.dispatch.sharing import protocol
from isocline.dispatch.sharing.protocol import Ended, SentInput, Submit
from isocline.dispatch.submission.inputs import Inputs, fill_input
from isocline.dispatch.submission.packed import PackedTask
from isocline.dispatch.user_code_guard import Caught, guarded, printable, words
from isocline.errors import UsageError

_BACKLOG = 64
_PATIENCE = 5.0  # s to tell a driver the last results
# Inputs of the n-th driver are numbered from n * _APART, and those of this process from 1.
_APART = 1 << 40
_DRIVERS = count(1)  # of all schedulers of this process
_END = None  # last item of a queue of messages


class Host(NamedTuple):
    """What a listener needs of its scheduler."""

    open_job: Callable[[str, float], int]  # makes a job; raises UsageError for its weight
    submit: Callable[[PackedTask, int], TaskFuture[Any]]  # submits a task of a job
    cancel_waiting: Callable[[Sequence[TaskFuture[Any]]], None]
    window: Callable[[], int]
    inputs: Inputs


@final
class DriverListener:
    """Listener at one address, with two threads for each driver."""

    def __init__(self, address: tuple[str, int], key: bytes, host: Host) -> None:
        """Listen; raises OSError if the address is not available."""
        self._key = key
        self._host = host
        self._lock = threading.Lock()
        self._sessions: set[DriverSession] = set()
        self._closed = False
        self._listener = Listener(address, backlog=_BACKLOG)
        self._bound: tuple[str, int] = self._listener.address
        self.address = f"{self._bound[0]}:{self._bound[1]}"
        self._thread = threading.Thread(target=self._listen, name="isocline-drivers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what is left to say, and disconnect all drivers."""
        self._closed = True
        with suppress(OSError):  # a last connection wakes the thread
            socket.create_connection(self._bound, _PATIENCE).close()
        self._thread.join(_PATIENCE)
        self._listener.close()
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.close()

    def _listen(self) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except (OSError, EOFError):  # a driver that is gone already, or too many open files
                time.sleep(0.1)
                continue
            if self._closed:
                connection.close()
                return
            threading.Thread(
                target=self._serve, args=(connection,), name="isocline-driver", daemon=True
            ).start()

    def _serve(self, connection: "Connection[Any, Any]") -> None:
        with connection:
            session = self._admitted(connection)
            if session is None:
                return
            with self._lock:
                self._sessions.add(session)
            try:
                session.work()
            finally:
                with self._lock:
                    self._sessions.discard(session)

    def _admitted(self, connection: "Connection[Any, Any]") -> "DriverSession | None":
        """Greet a driver that knows the key."""
        try:
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            protocol.set_options(connection)
            hello = connection.recv()
            assert isinstance(hello, protocol.Hello)
        except Exception as error:  # strangers may send anything
            LOG.warning("a driver was refused: %s", words(error))
            return None
        job = guarded(self._host.open_job, hello.name, hello.weight)
        if isinstance(job, Caught):
            connection.send(job.error if isinstance(job.error, UsageError) else words(job.error))
            return None
        first = next(_DRIVERS) * _APART
        connection.send(protocol.Welcome(first, self._host.window()))
        LOG.info("driver %s has joined", printable(hello.name))
        return DriverSession(connection, self._host, hello.name, job)


@final
class DriverSession:
    """Tasks of one driver; those that have not ended are cancelled when it goes."""

    def __init__(self, connection: "Connection[Any, Any]", host: Host, name: str, job: int) -> None:
        self._connection = connection
        self._host = host
        self._name = name
        self._job = job
        self._futures: dict[int, TaskFuture[Any]] = {}  # until the driver has heard of their end
        self._functions: dict[int, bytes] = {}
        self._inputs: dict[int, Input] = {}
        self._ended: SimpleQueue[tuple[int, TaskFuture[Any]] | Ended | None] = SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="isocline-answers", daemon=True)

    def work(self) -> None:
        """Handle the driver's messages until it goes."""
        self._sender.start()
        try:
            while True:
                self._handle(self._connection.recv())
        except (EOFError, OSError):
            """It has gone."""
        except Exception as error:  # it sent what is no message
            LOG.warning("driver %s: %s", printable(self._name), words(error))
        left = list(self._futures.values())
        for future in left:
            future.cancel()
        LOG.info("driver %s has left", printable(self._name))
        self._ended.put(_END)
        self._inputs.clear()
        self._futures.clear()

    def close(self) -> None:
        """Send what is left to say, and disconnect."""
        self._ended.put(_END)
        self._sender.join(_PATIENCE)
        protocol.cut(self._connection)

    def _handle(self, message: object) -> None:
        match message:
            case Submit():
                refused = guarded(self._submit, message)
                if isinstance(refused, Caught):
                    error = _pickled(message.key, refused.error)
                    self._ended.put(Ended(message.number, None, error=error))
            case protocol.Cancel(numbers, waiting):
                futures = [self._futures[it] for it in numbers if it in self._futures]
                if waiting:
                    self._host.cancel_waiting(futures)
                else:
                    for future in futures:
                        future.cancel()
            case protocol.Forget(number):
                self._forget(number)
            case protocol.Drop(number):
                self._inputs.pop(number, None)

    def _submit(self, sent: Submit) -> None:
        if sent.code is not None:
            self._functions[sent.function] = sent.code
        inputs = tuple(map(self._input, sent.inputs))
        awaited = [self._futures[given.of] for given in sent.inputs if given.of is not None]
        keep = None
        if sent.keep is not None:
            keep = self._inputs[sent.keep] = self._host.inputs.new(number=sent.keep)
        task = PackedTask(
            sent.key,
            sent.name,
            self._functions[sent.function],
            sent.arguments,
            sent.chunk,
            sent.limit,
            sent.need,
            inputs,
            tuple(awaited),
            keep,
        )
        future = self._futures[sent.number] = self._host.submit(task, self._job)
        future.when_done(lambda ended: self._ended.put((sent.number, ended)))

    def _forget(self, number: int) -> None:
        """Forget a task whose end the driver knows; as an input, its result now stands for it."""
        future = self._futures.pop(number, None)
        if future is not None and not future.cancelled() and future.exception() is None:
            fill_input(future)

    def _input(self, sent: SentInput) -> Input:
        given = self._inputs.get(sent.number)
        if given is None:
            given = self._host.inputs.new(sent.data, shared=sent.shared, number=sent.number)
            self._inputs[sent.number] = given
            if sent.of is not None:
                self._futures[sent.of].input = given
        return given

    def _send(self) -> None:
        """Send ends of tasks; pickles of their errors may run users' code, and so are made here."""
        while (item := self._ended.get()) is not _END:
            message = item if isinstance(item, Ended) else _end(*item)
            try:
                self._connection.send(message)
            except OSError:  # the driver has gone, which the other thread notices
                return


def _end(number: int, future: TaskFuture[Any]) -> Ended:
    if future.cancelled():
        return Ended(number, future.node)
    error = future.exception()
    if error is not None:
        return Ended(number, future.node, error=_pickled(future.key, error))
    return Ended(number, future.node, value=future.result())


def _pickled(key: str, error: BaseException) -> bytes:
    """Pickle an error and its cause, which pickles leave out."""
    for found in ((error, error.__cause__), (error, None)):
        data = guarded(pickling.dumps, found)
        if not isinstance(data, Caught):
            return data
    return pickling.dumps((RemoteError(key, words(error)), None))
