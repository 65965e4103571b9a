"""Large functions and arguments that tasks share are held once, and go to each worker once."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from isocline.dispatch.engines.processes import worker_handle
from isocline.dispatch.scheduler import Scheduler
from isocline.dispatch.submission.payload import Payloads
from isocline.subprocesses import framing

SIZE = 1 << 20


class Table:
    """A large object, of which no two pickles need differ."""

    def __init__(self) -> None:
        self.data = bytes(SIZE)
        self.factor = 1
        self.seen: list[int] = []

    def scale(self, chunk: str) -> tuple[int, int]:
        return int(chunk) * self.factor, len(self.seen)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        assert tracemalloc.get_traced_memory()[0] - before < size
    finally:
        tracemalloc.stop()


def method(table: Table) -> Callable[..., Any]:
    return table.scale


def partially(table: Table) -> Callable[..., Any]:
    return partial(Table.scale, table)


def closure(table: Table) -> Callable[..., Any]:
    return lambda chunk: (chunk, table)


@pytest.mark.parametrize("make", [method, partially, closure])
def test_a_function_that_is_made_anew_for_each_task_is_held_once(
    make: Callable[[Table], Callable[..., Any]],
) -> None:
    calls, table = Payloads(), Table()
    with at_most(4 * SIZE):
        functions = [calls.function(make(table)) for _ in range(100)]
        assert len({calls.walked(function) for function in functions}) == 1


def test_arguments_that_tasks_share_are_held_once() -> None:
    calls, table = Payloads(), Table()
    with at_most(4 * SIZE):
        pickles = [calls.arguments("f", (table,), {}) for _ in range(100)]
        prints = {calls.walked_arguments(pickled, (table,), {}) for pickled in pickles}
        assert len(prints) == 1


def test_what_changes_between_two_submissions_is_seen() -> None:
    table = Table()
    with Scheduler(nodes=1, locations=lambda _: ["n0"]) as scheduler:
        first = scheduler.submit(table.scale, "3")
        table.factor = 2
        second = scheduler.submit(table.scale, "3")
        table.seen.append(0)  # in place
        third = scheduler.submit(table.scale, "3")
        assert [each.result() for each in (first, second, third)] == [(3, 0), (6, 0), (6, 1)]


def size_of(chunk: str, table: Table, more: bytes) -> int:
    return int(chunk) + len(table.data) + len(more)


def test_large_arguments_go_to_a_worker_once_as_long_as_it_keeps_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []

    def counted(message: object) -> bytes:
        data = framing.packed(message)
        sent.append(len(data))
        return data

    monkeypatch.setattr(worker_handle, "packed", counted)
    table = Table()
    with Scheduler(nodes=1, locations=lambda _: ["n0"]) as scheduler:
        sizes = scheduler.map(size_of, map(str, range(100)), table, b"")
        assert list(sizes) == [SIZE + n for n in range(100)]
        assert sum(sent) < 2 * SIZE
        # More in all than a worker keeps, the first of them again at the end.
        many = [bytes([n]) * (8 * SIZE) for n in range(12)]
        futures = [scheduler.submit(size_of, "0", table, more) for more in [*many, many[0]]]
        assert [future.result() for future in futures] == [9 * SIZE] * 13
        assert sum(sent) > 12 * 9 * SIZE
