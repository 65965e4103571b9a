"""Chunks at worker processes: in directories and in memory, fetched, kept and dropped."""

import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch.engines.base import (
    Answers,
    Done,
    Drops,
    Fetched,
    Holds,
    NodeLost,
    Raised,
    Silent,
    TimedOut,
)
from isocline.dispatch.engines.processes import ProcessEngine
from isocline.dispatch.errors import ChunkError, UnreadError
from tests.dispatch.rigs import SOON, Rig, process_rig

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@contextmanager
def started(*args: Any, **how: Any) -> Iterator[Rig]:
    engine = ProcessEngine(*args, **how)
    try:
        yield process_rig(engine)
    finally:
        engine.close()


def same(value: Any) -> Any:
    return value


def done(rig: Rig, node: str, chunk: str, *holders: str) -> Done:
    """One that reads a chunk and returns it."""
    ended = rig.end(rig.run(node, same, chunk=chunk, holders=holders))
    assert isinstance(ended, Done), ended
    return ended


def raised(rig: Rig, node: str, chunk: str, *holders: str) -> tuple[BaseException, str]:
    ended = rig.end(rig.run(node, same, chunk=chunk, holders=holders))
    assert isinstance(ended, Raised), ended
    return pickle.loads(ended.error), ended.text


def notices(rig: Rig) -> list[Holds | Drops]:
    return [event for event in rig.drain() if isinstance(event, Holds | Drops)]


@pytest.fixture
def homes(tmp_path: Path) -> dict[str, Path]:
    """Of two nodes: `a` has words in one.txt, two.txt and deep/three.txt, `b` nothing."""
    homes = {name: tmp_path / name for name in ("a", "b")}
    for home in homes.values():
        home.mkdir()
    (homes["a"] / "deep").mkdir()
    for name in ("one.txt", "two.txt", "deep/three.txt"):
        (homes["a"] / name).write_text(f"words of {name}")
    return homes


def test_files_are_read_at_home_and_fetched_from_there(homes: dict[str, Path]) -> None:
    with started(homes) as rig:
        for chunk in ("one.txt", "deep/three.txt"):
            at_home, fetched = done(rig, "a", chunk, "a"), done(rig, "b", chunk, "a")
            words = f"words of {chunk}".encode()
            assert pickle.loads(at_home.value) == pickle.loads(fetched.value) == words
            assert (at_home.held, fetched.held) == (True, False)
            assert 0.0 < fetched.read_seconds <= fetched.seconds
            assert list(rig.engine.locations(chunk)) == ["a", "b"]
        assert not list(homes["b"].iterdir())
        (homes["a"] / "one.txt").unlink()
        assert done(rig, "b", "one.txt", "a").held


def test_a_loader_is_given_the_path_of_a_file_with_its_own_name(homes: dict[str, Path]) -> None:
    with started(homes, loader=lambda path: (path.name, path.stat().st_size)) as rig:
        values = [pickle.loads(done(rig, node, "deep/three.txt", "a").value) for node in "ab"]
        assert values == [("three.txt", 23)] * 2


def test_the_least_recently_used_file_is_dropped_first(homes: dict[str, Path]) -> None:
    with started(homes, cache=40) as rig:  # bytes: two of 16 or 23
        for chunk in ("one.txt", "two.txt", "one.txt", "deep/three.txt", "one.txt"):
            done(rig, "b", chunk, "a")
        assert notices(rig) == [
            Holds("one.txt", "b"),
            Holds("two.txt", "b"),
            Drops("two.txt", "b"),
            Holds("deep/three.txt", "b"),
        ]
        assert list(rig.engine.locations("two.txt")) == ["a"]
        # What was dropped is no longer its own, whatever the caller still believes.
        assert not done(rig, "b", "two.txt", "b", "a").held


def test_a_file_too_large_to_be_kept_is_read_all_the_same(homes: dict[str, Path]) -> None:
    with started(homes, cache=0, loader=lambda path: path.read_text()) as rig:
        for chunk in ("one.txt", "two.txt") * 2:
            ended = done(rig, "b", chunk, "a")
            assert (pickle.loads(ended.value), ended.held) == (f"words of {chunk}", False)
        assert notices(rig) == []


@pytest.mark.parametrize("chunk", ["../b/secret", "/etc/hostname", "a/../../x", "."])
def test_a_chunk_outside_the_directories_is_refused(homes: dict[str, Path], chunk: str) -> None:
    (homes["b"] / "secret").write_text("none of your business")
    with started(homes) as rig:
        error, _ = raised(rig, "a", chunk, "b")
        assert isinstance(error, ChunkError)
        assert "is not the name of a file below" in str(error)


def test_a_full_disk_fails_the_task_and_not_the_worker(homes: dict[str, Path]) -> None:
    def fill() -> None:  # from here on, a file of the worker's ends at so many bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    (homes["a"] / "large").write_bytes(bytes(10_000))
    with started(homes) as rig:
        rig.value(rig.run("b", fill))
        error, text = raised(rig, "b", "large", "a")
        assert isinstance(error, OSError)
        assert "large" not in rig.engine.locations("large")
        assert "Traceback" in text
        assert done(rig, "b", "one.txt", "a").node == "b"
        assert not [event for event in rig.drain() if isinstance(event, NodeLost)]


def test_memory_is_bounded_and_spoiled_by_no_task() -> None:
    def spoil(chunk: list[int]) -> int:
        chunk.append(0)
        return len(chunk)

    with started(2, loader=lambda chunk: [1] * int(chunk), cache=2000) as rig:
        for _ in range(3):
            assert rig.value(rig.run("n1", spoil, chunk="900", holders=("n0",))) == 901
        done(rig, "n1", "800", "n0")
        done(rig, "n1", "950", "n0")
        assert not done(rig, "n1", "3000", "n0").held
        heard = notices(rig)
    assert [type(event).__name__ for event in heard].count("Holds") == 3
    assert heard[0] == Holds("900", "n1")
    assert Drops("900", "n1") in heard
    assert Holds("3000", "n1") not in heard


def test_a_chunk_is_fetched_from_one_who_came_to_hold_it() -> None:
    def load(chunk: str) -> str:
        return f"{chunk} read at {os.getpid()}"

    with started(3, loader=load) as rig:
        first = pickle.loads(done(rig, "n1", "c", "n0").value)
        assert pickle.loads(done(rig, "n2", "c", "n1").value) == first


def test_without_a_loader_a_task_gets_the_chunks_name() -> None:
    with started(2) as rig:
        for node, held in (("n0", True), ("n1", False)):
            ended = done(rig, node, "name", "n0")
            assert (pickle.loads(ended.value), ended.held) == ("name", held)
        assert notices(rig) == []


def test_a_loader_that_raises_is_heard_at_home_and_from_afar() -> None:
    def load(chunk: str) -> str:
        raise LookupError(f"no {chunk} in the shop")

    with started(2, loader=load) as rig:
        error, text = raised(rig, "n0", "milk", "n0")
        assert isinstance(error, LookupError)
        assert "in load" in text
        error, _ = raised(rig, "n1", "milk", "n0")
        assert isinstance(error, ChunkError)
        assert "n0: LookupError: no milk in the shop" in str(error)
        assert "everywhere=True" in str(error)
        assert rig.value(rig.run("n1", abs, -1)) == 1


def test_a_holder_that_is_silent_or_gone_is_passed_over() -> None:
    with started(3, loader=lambda chunk: f"{chunk} from {os.getpid()}", silence=1.0) as rig:
        pids = [rig.value(rig.run(node, os.getpid)) for node in rig.names]
        os.kill(pids[0], signal.SIGSTOP)
        ended = done(rig, "n2", "c", "elsewhere", "n0", "n1")
        assert pickle.loads(ended.value) == f"c from {pids[1]}"
        error, _ = raised(rig, "n2", "d", "elsewhere", "n0")
        assert "elsewhere: no node of this engine; n0: it fell silent" in str(error)
        os.kill(pids[0], signal.SIGKILL)
        rig.lost("n0")
        assert pickle.loads(done(rig, "n2", "e", "n0", "n1").value).startswith("e from")


def test_a_holder_that_falls_silent_is_told_of_and_again_when_it_answers() -> None:
    with started(2, loader=str, silence=0.5) as rig:
        pid = rig.value(rig.run("n0", os.getpid))
        os.kill(pid, signal.SIGSTOP)
        attempt = rig.run("n1", same, chunk="c", holders=("n0",))
        rig.engine.fetch("n1", "d", ["n0"])
        ended = rig.end(attempt)
        assert isinstance(ended, Raised)
        assert ended.unread
        assert not rig.fetched("d", "n1").held
        (silent,) = [event for event in rig.drain() if isinstance(event, Silent)]
        assert silent.name == "n0"
        assert rig.events.index(silent) < rig.events.index(ended)
        assert not [event for event in rig.events if isinstance(event, Answers)]
        os.kill(pid, signal.SIGCONT)
        answers = rig.hear(lambda event: isinstance(event, Answers))
        assert isinstance(answers, Answers)
        assert answers.name == "n0"
        assert pickle.loads(done(rig, "n1", "c", "n0").value) == "c"


@pytest.mark.parametrize("ahead", [False, True])
def test_the_wait_for_a_silent_holder_is_not_charged_to_a_limit(ahead: bool) -> None:
    """Nor does the engine take the worker for one that would not stop."""
    with started(3, loader=str, silence=4.0, patience=0.2) as rig:
        pid = rig.value(rig.run("n0", os.getpid))
        os.kill(pid, signal.SIGSTOP)
        if ahead:
            rig.engine.fetch("n2", "c", ["n0"])
            time.sleep(0.5)  # most likely it has begun by now
        ended = rig.end(rig.run("n2", same, chunk="c", holders=("n0", "n1"), limit=2.0))
        assert isinstance(ended, Done), ended
        assert ended.seconds < 2.0  # of 4 s and more
        assert not [event for event in rig.drain() if isinstance(event, NodeLost)]
        os.kill(pid, signal.SIGCONT)


def test_a_limit_holds_again_once_a_silent_holder_is_given_up() -> None:
    def forever(_: str) -> None:
        time.sleep(SOON)

    with started(3, loader=str, silence=1.0) as rig:
        pid = rig.value(rig.run("n0", os.getpid))
        os.kill(pid, signal.SIGSTOP)
        ended = rig.end(rig.run("n2", forever, chunk="c", holders=("n0", "n1"), limit=0.5))
        assert isinstance(ended, TimedOut)
        assert 0.4 < ended.seconds < 30.0
        os.kill(pid, signal.SIGCONT)


def test_a_task_that_waits_for_a_silent_holder_can_be_cancelled() -> None:
    with started(2, loader=str, silence=SOON) as rig:
        pid = rig.value(rig.run("n0", os.getpid))
        os.kill(pid, signal.SIGSTOP)
        attempt = rig.run("n1", same, chunk="c", holders=("n0",), limit=1.0)
        time.sleep(0.2)
        rig.engine.cancel("n1", attempt)
        assert type(rig.end(attempt)).__name__ == "Stopped"
        assert rig.value(rig.run("n1", abs, -1)) == 1
        os.kill(pid, signal.SIGCONT)


def test_a_holder_that_dies_as_it_sends_is_known_to_be_lost_before_the_task_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It is not to be there again before the one that reads has given up.
    monkeypatch.setattr("isocline.dispatch.engines.processes.worker_slot._FIRST", SOON)
    with started(2, loader=lambda _: bytes(2_000_000), link=200_000.0) as rig:
        attempt = rig.run("n1", len, chunk="c", holders=("n0",))
        time.sleep(0.5)  # most likely it is on its way by now
        rig.kill("n0")
        ended = rig.end(attempt)
        assert isinstance(ended, Raised)
        assert ended.unread
        (lost,) = [event for event in rig.events if isinstance(event, NodeLost)]
        assert lost.returns
        assert rig.events.index(lost) < rig.events.index(ended)
        assert isinstance(pickle.loads(ended.error), UnreadError)


def test_a_name_that_is_no_utf_8_is_fetched_like_another(tmp_path: Path) -> None:
    homes = {name: tmp_path / name for name in ("a", "b")}
    for home in homes.values():
        home.mkdir()
    name = os.fsdecode(b"caf\xe9")
    (homes["a"] / name).write_bytes(b"some words")
    with started(homes) as rig:
        assert rig.engine.locations(name) == ["a"]
        assert rig.engine.locations("x" * 10_000) == []
        assert pickle.loads(done(rig, "b", name, "a").value) == b"some words"


def test_a_source_reached_from_everywhere_needs_no_holder() -> None:
    with started(2, loader=str.upper, everywhere=True) as rig:
        for holders in ((), ("gone",)):
            ended = done(rig, "n0", "word", *holders)
            assert (pickle.loads(ended.value), ended.held) == ("WORD", False)
    with started(1, loader=str.upper) as rig:
        error, _ = raised(rig, "n0", "word")
        assert "it has no locations" in str(error)


def test_a_lost_node_holds_only_what_it_held_at_first() -> None:
    with started(2, loader=str.upper) as rig:
        done(rig, "n1", "word", "n0")
        assert list(rig.engine.locations("word")) == ["n1"]
        rig.kill("n1")
        rig.lost("n1")
        assert list(rig.engine.locations("word")) == []
        rig.up("n1")
        assert not done(rig, "n1", "word", "n0").held


def test_what_is_fetched_ahead_is_bounded_and_leaves_the_running_task_its_chunk(
    homes: dict[str, Path], tmp_path: Path
) -> None:
    (homes["a"] / "large").write_bytes(bytes(100))
    go_on = tmp_path / "go on"

    def slowly(path: Path) -> str:
        while not go_on.exists():
            time.sleep(0.01)
        return path.read_text()

    with started(homes, cache=40, loader=lambda path: path) as rig:  # bytes: two of 16 or 23
        assert done(rig, "b", "one.txt", "a").node == "b"
        running = rig.run("b", slowly, chunk="one.txt", holders=("a",))
        for chunk, held in (("two.txt", True), ("large", False), ("deep/three.txt", True)):
            rig.engine.fetch("b", chunk, ["a"])
            assert rig.fetched(chunk, "b").held is held
        go_on.touch()
        assert rig.value(running) == "words of one.txt"
        assert notices(rig) == [
            Holds("one.txt", "b"),
            Holds("two.txt", "b"),
            Drops("two.txt", "b"),
            Holds("deep/three.txt", "b"),
        ]


def test_what_nobody_delivers_is_not_held() -> None:
    with started(2, loader=int) as rig:
        for chunk, holder in (("word", "n0"), ("1", "nobody")):  # the loader there raises
            rig.engine.fetch("n1", chunk, [holder])
            assert not rig.fetched(chunk, "n1").held
        assert notices(rig) == []


def test_a_task_waits_for_its_chunk_that_is_on_its_way() -> None:
    with started(2, loader=lambda chunk: bytes(int(chunk)), link=1e6) as rig:
        for chunk in ("400000", "400001"):  # side by side
            rig.engine.fetch("n1", chunk, ["n0"])
        ended = done(rig, "n1", "400000", "n0")
        assert (len(pickle.loads(ended.value)), ended.held) == (400_000, False)
        assert rig.fetched("400000", "n1").seconds >= 0.4
        assert rig.fetched("400001", "n1").held
        assert sorted(notices(rig)) == [Holds("400000", "n1"), Holds("400001", "n1")]


def test_two_fetches_and_a_task_that_want_one_chunk_get_it_once() -> None:
    with started(2, loader=lambda chunk: bytes(int(chunk)), link=1e6) as rig:
        rig.engine.fetch("n1", "300000", ["n0"])
        attempt = rig.run("n1", len, chunk="300000", holders=("n0",))
        rig.engine.fetch("n1", "300000", ["n0"])
        assert rig.value(attempt) == 300_000
        rig.engine.fetch("n1", "1", ["n0"])
        assert rig.fetched("1", "n1").held
        ends = [event for event in rig.drain() if isinstance(event, Fetched)]
        assert [event.held for event in ends if event.chunk == "300000"] == [True, True]
        assert sorted(notices(rig)) == [Holds("1", "n1"), Holds("300000", "n1")]


def test_what_is_dropped_for_a_chunk_that_then_fails_is_told(homes: dict[str, Path]) -> None:
    def fill() -> None:  # from here on, a file of the worker's ends at so many bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    (homes["a"] / "large").write_bytes(bytes(10_000))
    with started(homes, cache=10_000) as rig:
        assert done(rig, "b", "one.txt", "a").node == "b"
        assert done(rig, "b", "two.txt", "a").node == "b"  # which is in use
        rig.value(rig.run("b", fill))
        rig.engine.fetch("b", "large", ["a"])
        assert not rig.fetched("large", "b").held
        assert Drops("one.txt", "b") in notices(rig)
        assert list(rig.engine.locations("one.txt")) == ["a"]


def test_a_fetch_is_cancelled_and_a_slow_link_is_slow() -> None:
    with started(2, loader=lambda chunk: bytes(int(chunk)), link=1e6) as rig:
        assert done(rig, "n1", "200000", "n0").read_seconds >= 0.2
        attempt = rig.run("n1", same, chunk="90000000", holders=("n0",), limit=0.1)
        start = time.monotonic()
        assert type(rig.end(attempt)).__name__ == "TimedOut"
        assert time.monotonic() - start < 60.0  # of 90 s
        assert done(rig, "n1", "200000", "n0").held
