"""Sweeps of servers that fail, over real sockets."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

import isocline
from isocline.errors import MeasureError
from isocline.sweep import SweepResult, Visited, run_sweep
from isocline.sweep.decide import Why
from tests.loadgen.servers import OK, serving
from tests.sweep.sweeping import SIZES, asked, measured

THROTTLED = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 4\r\n\r\nbusy"
WORK = 0.02  # s of a request


class Bounded:
    """Serves each request in WORK, and so many at a time; others get 429 at once."""

    def __init__(self, most: int) -> None:
        self._most, self._lock, self.served = most, threading.Lock(), 0
        self.highest = 0

    def __call__(self, connection: socket.socket) -> None:
        with self._lock:
            full = self.served >= self._most
            self.served += not full
            self.highest = max(self.highest, self.served)
        if full:
            connection.sendall(THROTTLED)
            return
        time.sleep(WORK)
        with self._lock:
            self.served -= 1
        connection.sendall(OK)


def test_a_server_that_throttles_beyond_a_level_is_measured_up_to_it() -> None:
    with serving(Bounded(6)) as url:
        result = measured(url, most=32, precision=0.3, limit=20.0, timeout=5.0)
    levels = [visit.workload for visit in result.visits if not visit.trouble]
    bad = {visit.workload: visit for visit in result.visits if visit.trouble}
    assert max(levels) <= 6
    assert min(bad) > 6
    assert len(bad) <= 4
    for visit in bad.values():
        assert "status 429" in visit.trouble
        assert "the server throttles, Retry-After 1" in visit.trouble
        assert visit.failures["status 429"] <= 40  # it is not asked on and on
    assert [round(point.workload) for point in result.curve.points] == sorted(set(levels))


Reply = Callable[[socket.socket], None]


def works(connection: socket.socket) -> None:
    time.sleep(0.001)
    connection.sendall(OK)


def reset(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def cut_off(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    connection.shutdown(socket.SHUT_RDWR)


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x00\x01 what is this\r\n\r\n")


def broken(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops")


def hang(connection: socket.socket) -> None:
    """No answer; the connection stays."""


@pytest.mark.parametrize("death", [reset, cut_off, garbage, broken, hang])
def test_what_was_measured_before_a_server_died_is_kept(death: Reply) -> None:
    """It dies after the first visit."""
    dead = threading.Event()

    def report(visit: Visited, _: float) -> None:
        dead.set()

    def reply(connection: socket.socket) -> None:
        (death if dead.is_set() else works)(connection)

    with serving(reply) as url:
        settings = asked(url, most=8, precision=0.01, limit=60.0, timeout=1.0)
        result = run_sweep(settings, SIZES, report)
    assert [point.source for point in result.curve.points] == ["N = 1"]
    assert [bool(visit.trouble) for visit in result.visits] == [False, True]
    assert result.stopped.why is Why.GONE


@pytest.mark.parametrize(
    ("death", "says"),
    [
        (reset, "closed without an answer"),
        (cut_off, "ended amid its body"),
        (garbage, "is not HTTP; is this the server's port"),
        (broken, "status 500: oops"),
        (hang, "no answer in time; give a longer --timeout"),
    ],
)
def test_a_server_that_only_fails_is_given_up_with_its_reason(death: Reply, says: str) -> None:
    with serving(death) as url, pytest.raises(MeasureError, match=says):
        measured(url, limit=20.0, timeout=0.5)


def test_a_server_that_only_throttles_is_asked_three_times() -> None:
    asks = []

    def reply(connection: socket.socket) -> None:
        asks.append(time.monotonic())
        connection.sendall(THROTTLED)

    with serving(reply) as url, pytest.raises(MeasureError, match=r"429 \(Retry-After 1\): busy"):
        measured(url, limit=20.0)
    assert len(asks) == 3
    assert min(later - earlier for earlier, later in pairwise(asks)) >= 0.99


def test_a_longer_retry_after_than_the_limit_ends_at_the_limit() -> None:
    def reply(connection: socket.socket) -> None:
        connection.sendall(THROTTLED.replace(b"retry-after: 1", b"retry-after: 3000"))

    began = time.monotonic()
    with serving(reply) as url, pytest.raises(MeasureError, match="Retry-After 3000"):
        measured(url, limit=1.0)
    assert time.monotonic() - began < 10.0


def test_nobody_at_the_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    with pytest.raises(MeasureError, match="refused; is the server up, and is this its port"):
        measured(f"http://127.0.0.1:{port}/", limit=5.0)


@contextmanager
def interrupting(after: int) -> Iterator[Callable[[Visited, float], None]]:
    """A report that sends this process SIGINT after so many visits."""
    seen: list[Visited] = []

    def report(visit: Visited, _: float) -> None:
        seen.append(visit)
        if len(seen) == after:
            signal.raise_signal(signal.SIGINT)

    yield report
    assert len(seen) >= after


def test_an_interrupt_gives_what_was_measured_so_far() -> None:
    with serving(Bounded(100)) as url, interrupting(2) as report:
        settings = asked(url, most=64, precision=0.001, limit=60.0)
        result: SweepResult = run_sweep(settings, SIZES, report)
    assert result.interrupted
    assert not result.reached
    assert 2 <= len(result.visits) <= 3
    assert [round(point.workload) for point in result.curve.points] == [1, 4]
    assert result.to_dict()["sweep"]["interrupted"] is True


def test_an_interrupt_before_the_first_level_says_so() -> None:
    """Amid the first request, which hangs."""

    def hang_and_interrupt(_: socket.socket) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with (
        serving(hang_and_interrupt) as url,
        pytest.raises(MeasureError, match="stopped before any"),
    ):
        measured(url, limit=60.0)


def test_a_server_that_closes_each_connection_is_measured() -> None:
    """Without a word, as llama.cpp's does after a stream."""

    def close(connection: socket.socket) -> None:
        time.sleep(0.005)
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)

    with serving(close) as url:
        result = measured(url, most=2, precision=0.4, limit=10.0)
    assert result.curve.points
    assert not any(visit.failures for visit in result.visits)


def test_a_sweep_from_python_is_that_of_the_verb() -> None:
    with serving(works) as url:
        result = isocline.measure(f"{url}any", most=1, precision=0.4, limit=10.0)
        assert [point.source for point in result.curve.points] == ["N = 1"]
        assert list(result.to_frame()["source"]) == ["N = 1"]
        with pytest.raises(isocline.IsoclineError, match="most 0: give a whole number, 1 or more"):
            isocline.measure(f"{url}any", most=0)
        with pytest.raises(isocline.IsoclineError, match="give a number above 0 and below 1"):
            isocline.measure(f"{url}any", precision=5.0)
