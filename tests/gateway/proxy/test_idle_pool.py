"""The pool of idle connections alone: its time is an argument, and no loop runs."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from isocline.gateway.proxy.backend_connection import BackendConnection
from isocline.gateway.proxy.pool import Pool
from isocline.model.serving_settings import SizeLimits

REST, LONGEST = 0.05, 4.0  # s: after a response at first; idle
Connections = Pool[BackendConnection]


class Wire(asyncio.Transport):
    """One end of a pair of sockets, of which the kernel is asked alone."""

    def __init__(self, own: socket.socket) -> None:
        super().__init__({"socket": own})
        self.closing = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close


class Idle:
    """A connection that has served so many requests."""

    def __init__(self, pool: Connections, uses: int) -> None:
        own, self.backend = socket.socketpair()
        self.wire = Wire(own)
        self.connection = BackendConnection(pool, SizeLimits(), lambda: 0.0)
        self.connection.connection_made(self.wire)
        self.connection.uses = uses

    @property
    def is_open(self) -> bool:
        return not self.wire.closing


class Making:
    """A pool, and connections for it."""

    def __init__(self, most: int = 10) -> None:
        self.pool: Connections = Pool(most, LONGEST)
        self.made: list[Idle] = []

    def idle(self, uses: int = 1) -> Idle:
        self.made.append(Idle(self.pool, uses))
        return self.made[-1]

    def close(self) -> None:
        for one in self.made:
            one.backend.close()
            own: Any = one.wire.get_extra_info("socket")
            own.close()


@pytest.fixture
def making() -> Iterator[Making]:
    made = Making()
    yield made
    made.close()


def test_a_connection_rests_after_a_response(making: Making) -> None:
    pool, one = making.pool, making.idle().connection
    pool.give(one, 1.0)
    assert pool.take(1.0 + REST - 0.001) is None
    assert pool.idle == 1
    assert pool.take(1.0 + REST + 0.001) is one
    assert pool.idle == 0


def test_a_new_connection_needs_no_rest(making: Making) -> None:
    new = making.idle(uses=0).connection
    making.pool.give(new, 1.0)
    assert making.pool.take(1.0) is new


def test_the_last_one_used_is_used_first_and_old_ones_are_closed(making: Making) -> None:
    pool, old, young = making.pool, making.idle(uses=0), making.idle(uses=0)
    pool.give(old.connection, 0.0)
    pool.give(young.connection, 2.0)
    assert pool.take(3.0) is young.connection
    pool.give(young.connection, 3.0)
    pool.sweep(LONGEST)
    assert (old.is_open, young.is_open, pool.idle) == (True, True, 2)
    pool.sweep(LONGEST + 0.001)
    assert (old.is_open, young.is_open, pool.idle) == (False, True, 1)
    assert pool.take(5.0) is young.connection
    pool.give(young.connection, 5.0)
    assert pool.take(5.0 + LONGEST + 0.001) is None
    assert not young.is_open


def test_there_are_no_more_than_there_may_be() -> None:
    making = Making(most=2)
    resting, *new = making.idle(), making.idle(uses=0), making.idle(uses=0)
    for one in making.made:
        making.pool.give(one.connection, 0.0)
    assert [one.is_open for one in (resting, *new)] == [True, True, False]
    making.pool.close()
    making.pool.give(making.idle().connection, 0.0)
    assert making.pool.idle == 0
    assert not any(one.is_open for one in making.made)
    making.close()


def test_a_backend_that_closes_streams_rests_longer_after_streams_alone(making: Making) -> None:
    pool, closed = making.pool, making.idle()
    pool.give(closed.connection, 0.0, streamed=True)
    closed.backend.close()
    assert pool.take(0.2) is None  # it was closed, at most 0.2 s after its response
    assert not closed.is_open
    stream, plain = making.idle().connection, making.idle().connection
    pool.give(stream, 1.0, streamed=True)
    pool.give(plain, 1.0)
    assert pool.take(1.1) is plain
    assert pool.take(1.79) is None
    assert pool.take(1.81) is stream  # four times what was seen


def test_a_connection_that_is_lost_while_idle_is_forgotten(making: Making) -> None:
    pool, one = making.pool, making.idle(uses=0).connection
    pool.give(one, 0.0)
    pool.forget(one, 0.01)
    assert pool.idle == 0
    assert pool.take(1.0) is None


def test_a_backend_says_how_long_it_keeps_connections(making: Making) -> None:
    pool = making.pool
    one, two = making.idle(uses=0).connection, making.idle(uses=0).connection
    pool.keeps(2.0)
    pool.give(one, 0.0)
    assert pool.take(1.59) is one
    pool.give(one, 10.0)
    assert pool.take(11.61) is None
    pool.keeps(60.0)
    pool.give(two, 20.0)  # no longer than the router's own limit
    assert pool.take(20.0 + LONGEST) is two
    pool.give(two, 30.0)
    assert pool.take(30.0 + LONGEST + 0.001) is None
