"""The pool of idle connections alone: its time is an argument, its connections are not real."""

from isocline.gateway.core.request_cost import Usage
from isocline.gateway.proxy.pool import Pool
from isocline.gateway.proxy.sides import BackendSide

REST, LONGEST = 0.05, 4.0  # s: after a response at first; idle


class Idle(BackendSide):
    """A connection that has served so many requests, and that its backend may have closed."""

    def __init__(self, uses: int = 1) -> None:
        self.uses, self.due, self.released, self.streamed = uses, 0.0, 0.0, False
        self.quiet, self.open = True, True

    def is_quiet(self) -> bool:
        return self.quiet

    def close(self) -> None:
        self.open = False

    abort = close

    def write(self, _: bytes) -> None:
        raise AssertionError("a pool writes nothing")

    write_more = write

    def pause(self) -> None:
        raise AssertionError("a pool reads nothing")

    resume = pause

    def said_all(self) -> bool:
        return False

    def usage(self) -> Usage | None:
        return None

    def release(self, *_: object, **__: object) -> None:
        raise AssertionError("it serves no exchange")


def pool(most: int = 10) -> Pool[Idle]:
    return Pool(most, LONGEST)


def test_a_connection_rests_after_a_response() -> None:
    made, one = pool(), Idle()
    made.give(one, 1.0)
    assert made.take(1.0 + REST - 0.001) is None
    assert made.idle == 1
    assert made.take(1.0 + REST + 0.001) is one
    assert made.idle == 0


def test_a_new_connection_needs_no_rest() -> None:
    made, new = pool(), Idle(uses=0)
    made.give(new, 1.0)
    assert made.take(1.0) is new


def test_the_last_one_used_is_used_first_and_old_ones_are_closed() -> None:
    made, old, young = pool(), Idle(uses=0), Idle(uses=0)
    made.give(old, 0.0)
    made.give(young, 3.0)
    made.sweep(LONGEST)
    assert (old.open, young.open, made.idle) == (True, True, 2)
    made.sweep(LONGEST + 0.001)
    assert (old.open, young.open, made.idle) == (False, True, 1)
    assert made.take(5.0) is young
    made.give(young, 5.0)
    assert made.take(5.0 + LONGEST + 0.001) is None
    assert not young.open


def test_there_are_no_more_than_there_may_be() -> None:
    made, connections = pool(most=2), [Idle(), Idle(uses=0), Idle(uses=0)]
    for one in connections:
        made.give(one, 0.0)
    assert [one.open for one in connections] == [True, True, False]
    made.close()
    late = Idle()
    made.give(late, 0.0)
    assert made.idle == 0
    assert not any(one.open for one in (*connections, late))


def test_a_backend_that_closes_streams_rests_longer_after_streams_alone() -> None:
    made, stream = pool(), Idle()
    made.give(stream, 0.0, streamed=True)
    stream.quiet = False
    assert made.take(0.2) is None  # it was closed, at most 0.2 s after its response
    assert not stream.open
    stream, plain = Idle(), Idle()
    made.give(stream, 1.0, streamed=True)
    made.give(plain, 1.0)
    assert made.take(1.1) is plain
    assert made.take(1.79) is None
    assert made.take(1.81) is stream  # four times what was seen


def test_a_connection_that_is_lost_while_idle_is_forgotten() -> None:
    made, one = pool(), Idle(uses=0)
    made.give(one, 0.0)
    made.forget(one, 0.01)
    assert made.idle == 0
    assert made.take(1.0) is None


def test_a_backend_says_how_long_it_keeps_connections() -> None:
    made, one, two = pool(), Idle(uses=0), Idle(uses=0)
    made.keeps(2.0)
    made.give(one, 0.0)
    assert made.take(1.59) is one
    made.give(one, 10.0)
    assert made.take(11.61) is None
    made.keeps(60.0)
    made.give(two, 20.0)
    assert made.take(20.0 + LONGEST) is two
