"""Forked children: what they share, how they end, and where none may be forked."""

import asyncio
import subprocess
import sys
import textwrap
import threading

import pytest

from isocline.subprocesses.fork import can_fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux")


def output(script: str) -> str:
    """Run a script in a Python of its own, which has no thread but the first."""
    made = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_only_the_only_thread_forks_and_outside_of_an_event_loop() -> None:
    async def within() -> bool:
        return can_fork()

    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    beside = can_fork()
    over.set()
    other.join()
    assert not beside
    assert not asyncio.run(within())


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("raise SystemExit", 0),
        ("raise KeyboardInterrupt", 1),
        ("1 / 0", 1),
        ("os.kill(os.getpid(), 9)", -9),
    ],
)
def test_a_child_ends_where_it_was_forked(end: str, status: int) -> None:
    said = output(f"""
        import os
        from isocline.subprocesses.fork import fork
        print("once")
        def main():
            {end}
        _, ending = os.waitpid(fork(main), 0)
        print(os.waitstatus_to_exitcode(ending))
    """)
    assert said.split() == ["once", str(status)]  # and nothing of the parent's by the child


def test_children_answer_each_on_its_own_connection_and_are_orphans_with_the_parent() -> None:
    said = output("""
        import os, socket
        from isocline.subprocesses.fork import fork_connected
        loaded = object()
        kept, theirs = socket.socketpair()
        def main(end):
            end.sendall(b"%d" % (id(loaded) == number))
            assert not end.recv(1)  # none of the others has a copy of the parent's end
            theirs.sendall(b"x")
        number = id(loaded)
        made = fork_connected(3, main, kept.close)
        theirs.close()
        print(*(end.recv(1).decode() for _, end in made), len({it.pid for it, _ in made}))
        for process, end in made:  # in the order in which they were forked
            end.close()
            _, ending = os.waitpid(process.pid, 0)
            print(os.waitstatus_to_exitcode(ending), kept.recv(1).decode())
    """)
    assert said.split() == ["1", "1", "1", "3", *["0", "x"] * 3]


def test_an_event_loop_waits_for_a_child_that_it_kills() -> None:
    said = output("""
        import asyncio, signal
        from isocline.subprocesses.fork import ForkedProcess, fork
        from isocline.subprocesses.supervise import end_in_loop
        process = ForkedProcess(fork(signal.pause))
        async def life():
            both = asyncio.gather(process.wait(), process.wait())
            await end_in_loop(process, 0.05)
            print(await both, await process.wait())
            try:
                process.kill()
            except ProcessLookupError:
                print("over")
        asyncio.run(life())
    """)
    assert said.split("\n")[:2] == ["[-9, -9] -9", "over"]
