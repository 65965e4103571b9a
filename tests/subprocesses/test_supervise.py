"""Child processes from their parent's side: started, asked, named when they end, and ended."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from isocline.subprocesses.framing import Channel, packed, received
from isocline.subprocesses.spawn import start, start_in_loop
from isocline.subprocesses.supervise import (
    Backoff,
    Child,
    ProcessError,
    ProcessGroup,
    answers,
    await_ends,
    end_in_loop,
    ending,
)
from tests.running import alive

SOON = 60.0  # s: no test takes so long unless it fails
CHILD = """
import os, signal, subprocess, sys, time
from isocline.subprocesses.framing import Channel
from isocline.subprocesses.spawn import connection

def main():
    end = connection()
    channel = Channel(end)
    for message in channel:
        match message:
            case "where": channel.send((sys.path, os.getcwd(), os.environ.get("PYTHONPATH")))
            case "sleeper": channel.send(subprocess.Popen(["sleep", "600"]).pid)
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                channel.send(os.getpid())
            case "text": end.send(b"a line of text")
            case "close": channel.close(); time.sleep(600)
            case int(): os._exit(message)
            case _: channel.send(message)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that only this process's path leads to."""
    (tmp_path / "child_of_test.py").write_text(CHILD)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "child_of_test"


@contextmanager
def child(module: str) -> Iterator[Child]:
    with Child(module, "the test", "do it again") as one:
        yield one


def until_gone(pid: int) -> None:
    end = time.monotonic() + SOON
    while alive(pid):
        assert time.monotonic() < end, "it lives on"
        time.sleep(0.01)


def test_a_child_finds_modules_where_its_parent_does(module: str) -> None:
    with child(module) as one:
        path, _, inherited = one.ask("where")
        assert path == [entry for entry in sys.path if isinstance(entry, str)]
        assert inherited == os.environ.get("PYTHONPATH")  # for the commands that it starts
        assert one.ask(("anything", 1.0)) == ("anything", 1.0)


def test_what_lies_in_the_current_directory_is_not_in_a_child_s_way(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "struct.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    with child(module) as one:
        assert one.ask("here") == "here"


@pytest.mark.parametrize(
    ("message", "how"),
    [
        (3, "ended with status 3"),
        ("text", "sent what is no message"),
        ("close", "closed its connection"),
    ],
)
def test_a_child_that_will_not_answer_is_named(message: object, how: str, module: str) -> None:
    with child(module) as one:
        one.tell(message)
        with pytest.raises(ProcessError, match=f"the process of the test {how}.*; do it again"):
            one.hear()


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-9, "was killed by SIGKILL, often for lack of memory"),
        (-15, "was killed by SIGTERM"),
        (-60, "was killed by signal 60"),
    ],
)
def test_the_end_of_a_process_is_said_in_words(status: int, how: str) -> None:
    assert ending(status) == how


def test_a_message_to_a_child_that_has_ended_names_it(module: str) -> None:
    with child(module) as one:
        one.tell(4)
        with pytest.raises(ProcessError, match="ended with status 4"):
            one.hear()
        with pytest.raises(ProcessError, match="ended with status 4"):
            one.tell("anything")


def test_a_child_is_ended_with_its_group(module: str) -> None:
    with child(module) as one:
        sleeper = one.ask("sleeper")
    until_gone(sleeper)


def test_a_child_that_does_not_end_is_killed(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isocline.subprocesses.supervise._GRACE", 0.1)
    with child(module) as one:
        pid = one.ask("deaf")
    assert not alive(pid)


def test_a_group_s_number_stays_its_own_until_it_is_killed() -> None:
    process = subprocess.Popen(["true"], start_new_session=True)
    group = ProcessGroup(process)
    await_ends([group], SOON)
    assert group.dead
    assert group.status is None  # it is not reaped, so that its number is nobody else's
    assert group.kill() == 0
    assert group.dead
    assert group.kill() == 0  # again: nothing is signalled any more


def test_waiting_for_ends_is_given_up_in_time() -> None:
    groups = [
        ProcessGroup(subprocess.Popen(["sleep", "600"], start_new_session=True)) for _ in range(2)
    ]
    groups[0].terminate()
    start = time.monotonic()
    await_ends(groups, 0.2)
    assert time.monotonic() - start >= 0.2
    await_ends(groups[:1], SOON)
    assert [group.dead for group in groups] == [True, False]
    assert [group.kill() for group in groups] == [-signal.SIGTERM, -signal.SIGKILL]


def test_a_child_of_an_event_loop_answers_and_is_killed_when_it_will_not_end(module: str) -> None:
    async def scenario() -> None:
        process, end = await start_in_loop(module)
        reader, writer = await asyncio.open_unix_connection(sock=end)
        writer.write(packed("deaf"))
        assert await received(reader) == process.pid
        await end_in_loop(process, 0.1)
        assert process.returncode == -signal.SIGKILL
        writer.close()
        process, end = await start_in_loop(module)
        end.close()
        await end_in_loop(process, SOON)
        assert process.returncode == 0

    uvloop.run(scenario())


def test_a_child_notices_that_its_parent_was_killed(module: str, tmp_path: Path) -> None:
    parent = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(tmp_path)!r})
        from isocline.subprocesses.supervise import Child
        child = Child({module!r}, "", "")
        print(child.ask("deaf"), flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    until_gone(pid)


def test_a_child_that_cannot_be_started_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(sys, "executable", "/nowhere/at/all")
    with pytest.raises(OSError, match="nowhere"):
        start(module)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_child_s_end_is_not_inherited_by_what_it_starts(module: str) -> None:
    process, end = start(module)
    channel = Channel(end)
    channel.send("sleeper")
    sleeper = channel.receive()
    process.kill()
    process.wait()
    with pytest.raises(EOFError):  # though the sleeper lives on
        channel.receive()
    assert alive(sleeper)
    os.kill(sleeper, signal.SIGKILL)
    channel.close()


def test_answers_come_in_the_order_of_the_children_and_an_end_is_heard_at_once(
    module: str,
) -> None:
    with child(module) as one, child(module) as other:
        other.tell("second")
        one.tell("first")
        assert answers([one, other]) == ["first", "second"]
        other.tell(5)
        with pytest.raises(ProcessError, match="ended with status 5"):
            answers([one, other])  # though the first one never answers


def test_pauses_double_until_the_longest_and_begin_again() -> None:
    backoff = Backoff(0.1, 10.0)
    growing = [backoff.pause() for _ in range(9)]
    assert growing == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    backoff.reset()
    assert backoff.pause() == 0.1
