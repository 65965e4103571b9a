"""Tree reductions against Python's, over virtual and real nodes."""

import math
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import reduce
from operator import add, mul
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch import Scheduler
from isocline.dispatch.engines.base import WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault, FaultError
from isocline.errors import UsageError

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def scheduler(
    seed: int = 0, fault: Callable[[str, WorkItem], Fault | None] = lambda _n, _w: None, **how: Any
) -> Scheduler:
    """Scheduler whose tasks take times that depend on the seed, and so end in any order."""
    rng = random.Random(seed)
    engine = FakeEngine(
        3,
        draw=lambda mean: rng.expovariate(1.0 / mean),
        loader=int,
        fault=fault,
        speed=math.inf,
    )
    return Scheduler(engine, locations=lambda c: [f"n{int(c) % 3}"], seed=seed, **how)


def total(*values: int) -> int:
    assert 2 <= len(values) <= 5
    return sum(values)


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 10, 17, 64, 65, 100])
def test_sums_are_pythons(count: int, in_order: bool) -> None:
    chunks = [str(number) for number in range(count)]
    with scheduler(count) as live:
        assert live.reduce(lambda n: n**2, add, chunks, in_order=in_order) == sum(
            n**2 for n in range(count)
        )
        assert live.reduce(abs, total, chunks, arity=5, in_order=in_order) == sum(range(count))
        folded = -(-(count - 1) // 7)  # at the least, by tasks of up to 8 results
        assert live.statistics().finished >= 2 * count + folded + -(-(count - 1) // 4)


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_arrival_does_not_matter(seed: int) -> None:
    chunks = [str(number) for number in range(1, 30)]
    with scheduler(seed) as live:
        assert live.reduce(abs, mul, chunks, window=7) == math.factorial(29)
        assert live.reduce(str, add, chunks, in_order=True, window=7) == "".join(chunks)
        numbers = [1.0 / int(chunk) for chunk in chunks]
        inexact = live.reduce(lambda n: 1.0 / n, add, chunks, in_order=True, arity=2)
        assert inexact == pairwise(numbers)


def pairwise(numbers: list[float]) -> float:
    """Sum in the tree of neighbours: the first power of two of them, then the rest."""
    if len(numbers) == 1:
        return numbers[0]
    half = 1 << ((len(numbers) - 1).bit_length() - 1)
    return pairwise(numbers[:half]) + pairwise(numbers[half:])


@pytest.mark.parametrize("in_order", [False, True])
def test_the_first_failure_is_raised_and_ends_the_rest(in_order: bool) -> None:
    def fault(_node: str, work: WorkItem) -> Fault | None:
        return Fault.RAISE if work.chunk == "13" else None

    with scheduler(fault=fault) as live:
        chunks = [str(number) for number in range(50)]
        with pytest.raises(FaultError, match="abs\\(13\\)"):
            live.reduce(abs, add, chunks, in_order=in_order)
    with scheduler() as live, pytest.raises(ZeroDivisionError):
        live.reduce(abs, lambda a, b: a // (b * 0), ["1", "2"], in_order=in_order)


@pytest.mark.parametrize("in_order", [False, True])
def test_no_chunks_have_no_result(in_order: bool) -> None:
    with scheduler() as live, pytest.raises(UsageError, match="reduce: there are no chunks"):
        live.reduce(abs, add, [], in_order=in_order)


@pytest.mark.parametrize("arity", [0, 1, -3, 2.5])
def test_an_arity_is_two_or_more(arity: Any) -> None:
    with scheduler() as live, pytest.raises(UsageError, match="reduce: arity"):
        live.reduce(abs, add, ["1"], arity=arity)


def test_chunks_are_read_as_there_is_room() -> None:
    asked = []

    def chunks() -> Any:
        for number in range(30):
            asked.append(number)
            yield str(number)

    def fault(_node: str, work: WorkItem) -> Fault | None:
        return Fault.RAISE if work.chunk == "0" else None

    with scheduler(fault=fault) as live, pytest.raises(FaultError):
        live.reduce(abs, add, chunks(), window=4, in_order=True)
    assert len(asked) < 30


@pytest.mark.parametrize("in_order", [False, True])
def test_large_results_are_combined_where_they_are(in_order: bool) -> None:
    size = 1 << 17
    run = FakeEngine.run
    moved = []

    def spied(engine: FakeEngine, node: str, work: WorkItem) -> None:
        moved.append([given.number for given in work.inputs if places.get(given.number) != node])
        if work.keep is not None:
            places[work.keep] = node
        run(engine, node, work)

    places: dict[int, str] = {}
    with pytest.MonkeyPatch.context() as patch, scheduler(policy="random_local") as live:
        patch.setattr(FakeEngine, "run", spied)
        chunks = [str(number) for number in range(24)]
        found = live.reduce(
            lambda _: bytes(size), lambda a, _: a, chunks, arity=2, in_order=in_order
        )
        assert found == bytes(size)
    assert len(moved) == 24 + 23
    # Of the two inputs of a combination, at least one is there. In order of arrival it is mostly
    # both; neighbours are at different nodes at first.
    assert sum(map(len, moved)) <= (23 if in_order else 15)


def test_a_resumed_reduction_runs_nothing_again(tmp_path: Path) -> None:
    chunks = [str(number) for number in range(20)]
    for seed, resumed in ((1, 0), (2, 24)):
        with scheduler(seed, journal=tmp_path / "j", resume=True) as live:
            assert live.reduce(abs, add, chunks, in_order=True) == sum(range(20))
            assert live.statistics().resumed == resumed
    with scheduler(3, journal=tmp_path / "j", resume=True) as live:
        assert live.reduce(abs, add, chunks) == sum(range(20))
        assert live.statistics().resumed >= 20


def test_jobs_reduce_too() -> None:
    with scheduler() as live:
        job = live.job("night")
        assert job.reduce(abs, add, ["1", "2", "3"]) == 6


def test_killed_workers_do_not_change_the_result(tmp_path: Path) -> None:
    def read(chunk: str) -> bytes:
        return bytes([int(chunk)]) * (1 << 17)

    def joined(one: bytes, other: bytes) -> bytes:
        """Add up, and kill the worker that gets the last chunk's result, once."""
        killed = tmp_path / "killed"
        if other[0] == 39 and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return bytes([(one[0] + other[0]) % 256]) * len(one)

    chunks = [str(number) for number in range(40)]
    with Scheduler(nodes=2, locations=lambda c: [f"n{int(c) % 2}"], loader=read) as live:
        found = live.reduce(bytes, joined, chunks, in_order=True)
        assert found == bytes([reduce(add, range(40)) % 256]) * (1 << 17)
        assert live.statistics().attempts["lost"] >= 1
