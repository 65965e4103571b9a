"""The scheduler as its user sees it, on the fake engine."""

import asyncio
import functools
import itertools
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, as_completed, wait
from dataclasses import fields, replace
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from isocline.dispatch.engines.base import Node, WorkItem
from isocline.dispatch.engines.fake import FakeEngine, Fault, FaultError, Service
from isocline.dispatch.errors import (
    EngineClosedError,
    JournalError,
    NoHolderError,
    QuarantinedError,
    TimeLimitError,
    UnreadableError,
)
from isocline.dispatch.locations import in_directories
from isocline.dispatch.rules import Rules
from isocline.dispatch.scheduler import Scheduler
from isocline.dispatch.setup import Settings, rules_of
from isocline.dispatch.telemetry.records import Outcome
from isocline.errors import UsageError

SHORT = Settings(grace=0.1)


def holder(chunk: str) -> list[str]:
    """Chunks are numbers, and node n(i mod 4) holds chunk i."""
    return [f"n{int(chunk) % 4}"]


def scheduler(
    fault: Callable[[str, WorkItem], Fault | None] = lambda _node, _work: None,
    locations: Any = holder,
    nodes: Any = 4,
    settings: Settings = SHORT,
    service: Service | None = None,
    **options: Any,
) -> Scheduler:
    engine = FakeEngine(nodes, fault=fault, service=service, speed=math.inf)
    return Scheduler(engine, locations=locations, settings=settings, **options)


def hanging(*keys: str) -> Callable[[str, WorkItem], Fault | None]:
    return lambda _node, work: Fault.HANG if work.key in keys else None


def number(chunk: str) -> int:
    return int(chunk)


def numbers(count: int) -> Iterator[str]:
    return map(str, range(count))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    while not condition():
        time.sleep(0.001)


# Settings


def test_the_default_policy_is_that_of_the_verb() -> None:
    assert signature(Scheduler).parameters["policy"].default == "late_binding"


def test_retries_hold_beside_other_rules() -> None:
    tried: list[str] = []

    def fault(_node: str, work: WorkItem) -> Fault | None:
        tried.append(work.key)
        return Fault.RAISE if len(tried) == 1 else None

    with scheduler(fault, retries=1, rules=Rules(fetch_ahead=0)) as live:
        assert live.submit(number, "7").result() == 7
    assert len(tried) == 2


def test_rules_that_are_not_given_are_the_same_with_and_without_a_record_of_them() -> None:
    assert rules_of(None, None, None, None) == Rules()
    assert rules_of(None, 2, 5.0, False) == Rules(2, holder_grace=5.0, straggler=math.inf)
    assert rules_of(Rules(straggler=3.0), None, None, True) == Rules(straggler=3.0)
    assert rules_of(Rules(straggler=math.inf), None, None, True) == Rules()
    only_fetches = rules_of(Rules(fetch_ahead=0), None, None, None)
    assert replace(only_fetches, fetch_ahead=Rules().fetch_ahead) == Rules()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"resume": True}, "resume needs a journal; give journal=PATH"),
        ({"loader": 3}, "loader 3: give a function from a chunk's name to its value"),
        ({"workers": 2}, r"no option 'workers' \(did you mean 'nodes'\?\); it has nodes, loader"),
        ({"silense": 2}, r"no option 'silense' \(did you mean 'silence'\?\); it has"),
        ({"zzz": 2}, r"engine processes has no option 'zzz'; it has nodes, loader"),
        ({"locations": {}}, "locations: the mapping is empty; name the nodes of each chunk"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_words(how: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Scheduler(**how)


@pytest.mark.parametrize("record", [Rules, Settings])
def test_each_field_of_a_record_is_in_its_help(record: Any) -> None:
    told = record.__doc__ or ""
    assert [field.name for field in fields(record) if f"\n        {field.name}: " not in told] == []


# Results


def test_results_come_in_order_and_as_they_end() -> None:
    with scheduler() as live:
        assert list(live.map(number, numbers(500))) == list(range(500))
        found = live.map(number, numbers(500), in_order=False)
        assert sorted(found) == list(range(500))
        scaled = live.map(lambda c, k, *, more: int(c) * k + more, numbers(3), 2, more=1)
        assert list(scaled) == [1, 3, 5]
        assert live.submit(lambda a, b: a + b, None, 1, b=2).result() == 3
    assert Counter(ran.outcome for ran in live.records) == {Outcome.FINISHED: 1004}


@pytest.mark.parametrize("copies", [True, False])
def test_one_that_hangs_holds_up_those_in_order_only(copies: bool) -> None:
    short = Service(0.01, 0.01, 0.02)  # by which a task that lasts 0.1 s is a long one
    hung = scheduler(hanging("number(0)"), service=short, copies=copies)
    with pytest.raises(ZeroDivisionError), hung as live:  # noqa: PT012
        later = live.map(number, numbers(50), in_order=False)
        assert sorted(itertools.islice(later, 49)) == list(range(1, 50))
        raise ZeroDivisionError


@pytest.mark.parametrize("chunks", ["10", b"10", Path("10"), 10])
@pytest.mark.parametrize("way", ["map", "completed", "stream", "reduce"])
def test_one_chunk_in_place_of_many_is_refused(way: str, chunks: Any) -> None:
    functions = (str, max) if way == "reduce" else (str,)
    with scheduler() as one, pytest.raises(UsageError, match=r"^chunks is .*10.*; give a list"):
        getattr(one, way)(*functions, chunks)


def test_an_endless_iterator_is_taken_as_far_as_the_window() -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for i in itertools.count():
            taken += 1
            yield str(i)

    with scheduler() as live:
        for in_order in (True, False):
            taken = 0
            found = live.map(number, endless(), in_order=in_order, window=10)
            assert taken == 10
            assert len(list(itertools.islice(found, 100))) == 100
            assert taken <= 110
            found.close()
        statistics = live.statistics()
        assert statistics.waiting + statistics.running + statistics.ended <= 220


def test_many_tasks_end_once_each() -> None:
    with scheduler(settings=replace(SHORT, remember=1000)) as live:
        total = sum(live.map(number, numbers(20_000), in_order=False))
        statistics = live.statistics()
    assert total == 20_000 * 19_999 // 2
    assert statistics.finished == 20_000
    assert statistics.levels["local"] == 20_000
    assert len(live.records) == 1000


def test_futures_are_those_of_the_standard_library() -> None:
    with scheduler() as live:
        futures = [live.submit(number, str(i)) for i in range(100)]
        assert {future.result() for future in as_completed(futures)} == set(range(100))
        done, rest = wait([live.submit(number, "7")])
        assert not rest
        assert done.pop().result() == 7


def test_they_can_be_awaited() -> None:
    async def main(live: Scheduler) -> None:
        assert await live.submit(number, "3") == 3
        found = [value async for value in live.stream(number, numbers(200), window=7)]
        assert sorted(found) == list(range(200))
        ordered = live.stream(number, numbers(200), in_order=True)
        assert [value async for value in ordered] == list(range(200))
        async for _ in live.stream(number, map(str, itertools.count()), window=5):
            break

    with scheduler() as live:
        asyncio.run(main(live))


def test_an_awaited_task_is_cancelled_with_who_waits_for_it() -> None:
    async def main(live: Scheduler) -> None:
        hung = asyncio.create_task(_await(live))
        await asyncio.sleep(0.05)
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung

    async def _await(live: Scheduler) -> int:
        return await live.submit(number, "0", key="hung")

    with scheduler(hanging("hung")) as live:
        asyncio.run(main(live))
        assert live.submit(number, "0").result() == 0


# What goes wrong


def fails(chunk: str) -> int:
    raise KeyError(chunk)


def test_an_exception_is_the_functions_own() -> None:
    with scheduler() as live:
        future = live.submit(fails, "3", key="the third")
        with pytest.raises(KeyError, match="3") as caught:
            future.result()
        assert "in fails" in str(caught.value.__cause__)
        assert caught.value.__notes__ == ["task 'the third' at node 'n3'"]
        with pytest.raises(KeyError):
            list(live.map(fails, map(str, itertools.count())))
        ended = live.completed(lambda c: 6 // int(c), list("1203"), in_order=True)
        assert [type(future.exception()) for future in ended] == [
            type(None),
            type(None),
            ZeroDivisionError,
            type(None),
        ]


class OddError(Exception):
    """Can be pickled, but not unpickled, not even with the help that Dask brings along."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"odd {one + two}")

    def __reduce__(self) -> Any:
        return OddError, (3,)


def test_what_cannot_be_unpickled_says_so() -> None:
    class Here:
        def __reduce__(self) -> Any:
            return exec, ("raise RuntimeError('not here')",)

    with scheduler() as live:
        with pytest.raises(UnreadableError, match=r"'bad'.*RuntimeError: not here"):
            live.submit(Here, key="bad").result()

        def odd() -> None:
            raise OddError(1, 2)

        with pytest.raises(Exception, match="OddError: odd 3"):
            live.submit(odd).result()


def test_retries_are_made_where_asked() -> None:
    def twice() -> Callable[[str, WorkItem], Fault | None]:
        tries: Counter[str] = Counter()

        def fault(_node: str, work: WorkItem) -> Fault | None:
            tries[work.key] += 1
            return Fault.RAISE if tries[work.key] <= 2 else None

        return fault

    with scheduler(twice()) as live, pytest.raises(FaultError, match=r"number\(1\)"):
        live.submit(number, "1").result()
    with scheduler(twice(), retries=2) as live:
        assert list(live.map(number, numbers(20))) == list(range(20))
    assert live.records.outcomes[Outcome.RAISED] == 40
    with pytest.raises(UsageError, match="retries -1: give"):
        scheduler(retries=-1)


def test_a_task_over_its_limit_is_stopped() -> None:
    with scheduler(hanging("number(0)", "own"), limit=5.0) as live:
        with pytest.raises(TimeLimitError, match=r"task 'number\(0\)'.* its limit of 5 s;"):
            live.submit(number, "0").result()
        with pytest.raises(TimeLimitError, match=r"task 'own'.* its limit of 3 s;"):
            live.submit(number, "0", key="own", limit=3.0).result()
        assert live.submit(number, "0", key="another").result() == 0
        with pytest.raises(UsageError, match="limit is 0"):
            live.submit(number, "0", limit=0.0)


def test_a_task_that_kills_its_workers_is_quarantined() -> None:
    def deadly(_node: str, work: WorkItem) -> Fault | None:
        return Fault.DIE if work.key == "deadly" else None

    with scheduler(deadly) as live:
        future = live.submit(number, "0", key="deadly")
        assert list(live.map(number, numbers(100))) == list(range(100))
        with pytest.raises(QuarantinedError, match="task 'deadly': 3 workers died while") as error:
            future.result()
        at = {ran.node for ran in live.records if ran.key == "deadly"}
        assert at
        assert all(node in str(error.value) for node in at)
        assert "it is not run again; find the cause" in str(error.value)


def test_a_chunk_that_nobody_holds_says_so() -> None:
    with scheduler(locations={"a": ["n0"], "b": []}, holder_grace=0.01) as live:
        assert live.submit(str, "a").result() == "a"
        with pytest.raises(NoHolderError, match=r"task 'str\(b\)'"):
            live.submit(str, "b").result()


def test_when_the_engine_fails_nobody_waits_for_ever() -> None:
    class Failing(FakeEngine):  # type: ignore[misc]
        def run(self, node: str, work: WorkItem) -> None:
            if work.key == "last":
                raise OSError("out of everything")
            super().run(node, work)

    live = Scheduler(Failing(speed=math.inf))
    hung = live.submit(lambda: 1, key="last")
    with pytest.raises(EngineClosedError, match=r"'last': the scheduler failed.*everything"):
        hung.result()
    with pytest.raises(EngineClosedError, match="closed"):
        live.submit(lambda: 1, key="later")
    with pytest.raises(OSError, match="everything"):
        live.close()


# Cancellation and the end


def test_tasks_are_cancelled_in_the_queue_and_running() -> None:
    with scheduler(hanging("hung"), nodes=1, locations=lambda _chunk: ["n0"]) as live:
        hung = live.submit(number, "0", key="hung")
        until(hung.running)
        queued = [live.submit(number, str(i)) for i in range(1, 5)]
        assert not queued[0].done()
        assert queued[0].cancel()
        assert hung.cancel()
        assert hung.cancelled()
        assert hung.cancel()
        assert [future.result() for future in queued[1:]] == [2, 3, 4]
        assert not queued[1].cancel()
        with pytest.raises(CancelledError):
            hung.result()
        assert wait([hung, queued[0]]).done == {hung, queued[0]}
        statistics = live.statistics()
    assert (statistics.finished, statistics.cancelled) == (3, 2)
    assert (statistics.waiting, statistics.running) == (0, 0)


def test_the_block_ends_when_all_tasks_have() -> None:
    with scheduler() as live:
        futures = [live.submit(number, str(i)) for i in range(300)]
    assert all(future.done() for future in futures)
    assert not [t for t in threading.enumerate() if t.name in ("isocline-driver", "fake engine")]
    with pytest.raises(EngineClosedError, match=r"number\(1\)"):
        live.submit(number, "1")
    live.close()
    assert live.statistics().finished == 300


def test_an_exception_stops_what_runs_after_a_grace() -> None:
    with pytest.raises(KeyboardInterrupt), scheduler(hanging("hung")) as live:  # noqa: PT012
        hung = live.submit(number, "0", key="hung")
        until(hung.running)
        rest = [live.submit(number, "0") for _ in range(2000)]
        raise KeyboardInterrupt
    assert hung.cancelled()
    assert all(future.done() for future in rest)
    assert rest[-1].cancelled()


def test_a_callback_may_submit() -> None:
    with scheduler() as live:
        second: list[Any] = []
        first = live.submit(number, "1")
        first.add_done_callback(lambda _future: second.append(live.submit(number, "2")))
        until(lambda: bool(second))
        assert second[0].result() == 2


# Where chunks are


def test_directories_are_locations(tmp_path: Path) -> None:
    for node, name in (("a", "1"), ("a", "deep/2"), ("b", "1")):
        path = tmp_path / node / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = in_directories({node: tmp_path / node for node in "ab"})
    assert found == {"1": ["a", "b"], "deep/2": ["a"]}
    with pytest.raises(UsageError, match="c: there is no directory"):
        in_directories({"c": tmp_path / "c"})


@pytest.mark.parametrize(
    ("locations", "message"),
    [(7, "7 is not a mapping"), (lambda _chunk: "n0", "node names for chunk '0', got 'n0'")],
)
def test_locations_that_make_no_sense(locations: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message), scheduler(locations=locations) as live:
        live.submit(number, "0")


def test_a_node_that_came_to_hold_a_chunk_is_local_from_then_on() -> None:
    engine = FakeEngine(2, keeps=True, speed=math.inf)
    with Scheduler(engine, "fifo", locations={"a": ["n0"]}) as live:
        for _ in range(40):  # each one at a random node
            live.submit(str, "a").result()
    levels = [ran.level for ran in live.records if ran.node == "n1"]
    assert levels == ["remote"] + ["local"] * (len(levels) - 1)
    assert len(levels) > 1


def test_racks_are_between() -> None:
    nodes = [Node("n0", "r0"), Node("n1", "r0"), Node("n2", "r1")]
    with scheduler(locations={"a": ["n0"]}, nodes=nodes, policy="fifo") as live:
        for _ in range(60):
            live.submit(str, "a").result()
    assert {ran.node: ran.level for ran in live.records} == {
        "n0": "local",
        "n1": "rack",
        "n2": "remote",
    }


# Jobs


def test_jobs_share_by_weight() -> None:
    with scheduler(hanging("hung"), nodes=1, locations=lambda _chunk: ["n0"]) as live:
        heavy, light = live.job("heavy", weight=3.0), live.job("light")
        hung = live.submit(number, "0", key="hung")
        until(hung.running)
        futures = [job.submit(number, str(i)) for job in (light, heavy) for i in range(300)]
        hung.cancel()
        wait(futures)
        with pytest.raises(UsageError, match="weight 0: give"):
            live.job("none", weight=0)
    first = [ran.key.split("/")[0] for ran in live.records if "/" in ran.key][:200]
    assert first.count("heavy") == pytest.approx(150, abs=10)


# The journal


def test_a_journal_is_continued(tmp_path: Path) -> None:
    ran: list[str] = []

    def run(count: int, resume: bool) -> list[int]:
        def noted(_node: str, work: WorkItem) -> Fault | None:
            ran.append(work.key)
            return None

        with scheduler(noted, journal=tmp_path / "run.db", resume=resume) as live:
            return list(live.map(number, numbers(count)))

    assert run(20, False) == list(range(20))
    ran.clear()
    assert run(30, True) == list(range(30))
    assert ran == [f"number({i})" for i in range(20, 30)]
    with pytest.raises(JournalError, match="resume=True"):
        run(1, False)


def test_keys_of_a_journal_are_given_once(tmp_path: Path) -> None:
    with scheduler(journal=tmp_path / "run.db") as live:
        assert live.submit(number, "1", key="a").result() == 1
        with pytest.raises(UsageError, match="'a' is used twice"):
            live.submit(number, "1", key="a")
        assert [live.submit(number, "1").key for _ in range(3)] == [
            "number(1)",
            "number(1)#2",
            "number(1)#3",
        ]
        assert live.job("mine").submit(number, "1").key == "mine/number(1)"


def test_a_changed_job_is_refused(tmp_path: Path) -> None:
    with scheduler(journal=tmp_path / "run.db") as live:
        assert live.submit(lambda c: int(c) + 1, "1", key="a").result() == 2
    with scheduler(journal=tmp_path / "run.db", resume=True) as live:
        with pytest.raises(JournalError, match="'a' had another function"):
            live.submit(lambda c: int(c) + 2, "1", key="a")
        assert live.submit(lambda c: int(c) + 2, "1", key="b").result() == 3


LIMITS = {"most": 1}


def test_what_a_function_finds_in_globals_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def most(_: str) -> int:
        return LIMITS["most"]

    with scheduler(journal=tmp_path / "run.db") as live:
        live.submit(most, "1", key="a").result()
    monkeypatch.setitem(LIMITS, "most", 2)
    said = "another function, or one that uses different values"
    with (
        scheduler(journal=tmp_path / "run.db", resume=True) as live,
        pytest.raises(JournalError, match=said),
    ):
        live.submit(most, "1", key="a")


def test_a_changed_loader_is_refused(tmp_path: Path) -> None:
    def run(loader: Callable[[str], object], resume: bool) -> Any:
        engine = FakeEngine(1, loader=loader, speed=math.inf)
        journal = tmp_path / "run.db"
        with Scheduler(engine, locations=lambda _: ["n0"], journal=journal, resume=resume) as live:
            return live.submit(lambda value: value, "a").result()

    assert run(lambda chunk: chunk * 2, resume=False) == "aa"
    assert run(lambda chunk: chunk * 2, resume=True) == "aa"
    with pytest.raises(JournalError, match=r"'.*\(a\)' had another loader when it ran; undo"):
        run(lambda chunk: chunk * 3, resume=True)


def resumed(
    function: Callable[[str], Any], chunks: list[str], journal: Path, **options: Any
) -> tuple[list[Any], int]:
    """Results, and how many were the journal's."""
    engine = FakeEngine(1, speed=math.inf)
    with Scheduler(
        engine, locations=lambda _: ["n0"], journal=journal, resume=True, **options
    ) as live:
        return list(live.map(function, chunks)), live.statistics().resumed


def test_a_task_whose_file_has_changed_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chunks, journal = ["a.txt", "b.txt", "no file"], tmp_path / "run.db"
    for chunk in chunks[:2]:
        Path(chunk).write_text(chunk)

    def size(chunk: str) -> int:
        return Path(chunk).stat().st_size if Path(chunk).exists() else -1

    assert resumed(size, chunks, journal) == ([5, 5, -1], 0)
    assert resumed(size, chunks, journal) == ([5, 5, -1], 3)
    Path("b.txt").write_text("longer")
    assert resumed(size, chunks, journal) == ([5, 6, -1], 2)
    os.utime("a.txt", (1, 1))  # another content of the same size, as far as can be seen
    assert resumed(size, chunks, journal) == ([5, 6, -1], 2)
    assert resumed(size, chunks, journal) == ([5, 6, -1], 3)


def test_a_task_that_writes_to_its_own_file_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("x")

    def append(chunk: str) -> str:
        with Path(chunk).open("a") as file:
            file.write("y")
        return Path(chunk).read_text()

    assert resumed(append, ["a"], tmp_path / "run.db") == (["xy"], 0)
    assert resumed(append, ["a"], tmp_path / "run.db") == (["xy"], 1)


def test_the_user_may_say_which_state_data_is_in(tmp_path: Path) -> None:
    tags = {"a": "1", "b": "1"}
    run: Any = lambda: resumed(str.upper, ["a", "b"], tmp_path / "run.db", version=tags.get)  # noqa: E731
    assert [run(), run()] == [(["A", "B"], 0), (["A", "B"], 2)]
    tags["b"] = "2"
    assert run() == (["A", "B"], 1)
    with pytest.raises(
        UsageError, match="version: for chunk 'a' the function raises KeyError: 'a'"
    ):
        resumed(str.upper, ["a"], tmp_path / "other.db", version={}.__getitem__)


def test_a_file_that_an_argument_names_counts_with_its_state(tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    model.write_text("x")

    def use(chunk: str, *paths: Path | str) -> str:
        if paths[-1] == out:
            out.write_text(chunk)
        return Path(paths[0]).read_text()

    def run(name: str, function: Callable[..., str], *arguments: Any) -> tuple[list[str], int]:
        with Scheduler(
            FakeEngine(1, speed=math.inf),
            locations=lambda _: ["n0"],
            journal=tmp_path / name,
            resume=True,
        ) as live:
            found = list(live.map(function, ["a"], *arguments))
            return found, live.statistics().resumed

    class User(NamedTuple):
        path: Path

        def use(self, chunk: str) -> str:
            return use(chunk, self.path)

    # An output counts as its task has left it. No file is named by a text, nor by what a function
    # finds for itself.
    ways: list[tuple[Any, ...]] = [
        ("argument", use, model, tmp_path),
        ("output", use, model, out),
        ("nested", lambda chunk, given: use(chunk, *given["of"]), {"of": [model]}),
        ("partial", functools.partial(lambda path, chunk: use(chunk, path), model)),
        ("method", User(model).use),
        ("text", use, str(model)),
        ("closure", lambda chunk: use(chunk, model)),
    ]
    seen, unseen = 5, 2
    assert [run(*way) for way in ways] == [(["x"], 0)] * (seen + unseen)
    assert [run(*way)[1] for way in ways] == [1] * (seen + unseen)
    model.write_text("yy")
    assert [run(*way) for way in ways] == [(["yy"], 0)] * seen + [(["x"], 1)] * unseen
    model.unlink()
    model.write_text("y")
    assert [run(*way) for way in ways] == [(["y"], 0)] * seen + [(["x"], 1)] * unseen


def test_files_of_arguments_count_beside_what_the_user_says_of_the_chunk(tmp_path: Path) -> None:
    asked: list[str] = []
    model = tmp_path / "model"
    model.write_text("x")
    function = functools.partial(lambda path, chunk: path.read_text() + chunk, model)

    def run() -> tuple[list[str], int]:
        return resumed(function, ["a"], tmp_path / "run.db", version=asked.append)

    assert [run(), run()] == [(["xa"], 0), (["xa"], 1)]
    model.write_text("yy")
    assert run() == (["yya"], 0)
    assert asked == ["a"] * 3  # once for each run


# What cannot be used


@pytest.mark.parametrize(
    ("submit", "message"),
    [
        (lambda live: live.submit("number", "1"), "'number' is not a function"),
        (lambda live: live.submit(number, 1), "chunk 1 is neither text, a path nor a tuple"),
        (lambda live: live.submit(number, "1", threading.Lock()), "arguments of number cannot be"),
        (lambda live: live.map(number, [], window=0), "window 0: give"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(submit: Any, message: str) -> None:
    with scheduler() as live, pytest.raises(UsageError, match=message):
        submit(live)


def test_engines_by_name() -> None:
    with pytest.raises(UsageError, match="unknown engine 'spark'"):
        Scheduler("spark")
    with pytest.raises(UsageError, match="nodes: pass these to the engine"):
        Scheduler(FakeEngine(), nodes=3)


def test_a_slow_task_is_copied_only_where_it_may_run_twice() -> None:
    def first_hangs() -> Callable[[str, WorkItem], Fault | None]:
        tries: Counter[str] = Counter()

        def fault(_node: str, work: WorkItem) -> Fault | None:
            tries[work.key] += 1
            return Fault.HANG if work.key == "slow" and tries["slow"] == 1 else None

        return fault

    for copies in (True, False):
        engine = FakeEngine(
            2, service=Service(0.01, 0.01, 0.02), fault=first_hangs(), speed=math.inf
        )
        with Scheduler(engine, locations=lambda _: ["n0", "n1"], copies=copies) as live:
            assert len(list(live.map(number, numbers(100)))) == 100
            slow = live.submit(number, "0", key="slow")
            if copies:
                assert slow.result() == 0
            else:
                assert not wait([slow], timeout=0.5).done  # 50 times as long as its like
                slow.cancel()
        attempts = [ran for ran in live.records if ran.key == "slow"]
        assert [ran.copy for ran in attempts] == ([True, False] if copies else [False])
        assert live.statistics().copies == int(copies)


def test_a_run_lasts_from_the_first_submission_to_the_last_end() -> None:
    with scheduler() as live:
        time.sleep(0.05)
        before = time.monotonic()
        assert list(live.map(number, numbers(20))) == list(range(20))
        most = time.monotonic() - before
        time.sleep(0.05)
        assert 0 < live.statistics().elapsed <= most
        assert 0 < live.explain().elapsed <= most
    assert 0 < live.statistics().elapsed <= most


@pytest.mark.parametrize("way", ["submit", "map", "completed", "stream", "reduce"])
def test_arguments_that_a_function_does_not_take_are_refused_before_anything_runs(
    way: str,
) -> None:
    def size(chunk: str, *, unit: int = 1) -> int:
        return len(chunk) // unit

    with scheduler() as live:
        given = {"reduce": (size, max, ["4711"]), "submit": (size, "4711")}
        call = functools.partial(getattr(live, way), *given.get(way, (size, ["4711"])))
        call(unit=2)
        with pytest.raises(UsageError, match="takes no argument 'units'; leave it out"):
            call(units=2)
        with pytest.raises(UsageError, match="'everywhere', which Scheduler itself takes"):
            call(everywhere=True)


def test_functions_that_take_any_argument_or_do_not_say_get_all() -> None:
    def count(chunk: str, **settings: int) -> int:
        return len(chunk) + len(settings)

    with scheduler() as live:
        assert live.submit(count, "4711", everywhere=1).result() == 5
        assert live.submit(dict, None, milk=2).result() == {"milk": 2}
