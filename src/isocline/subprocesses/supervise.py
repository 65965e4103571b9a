"""Parent's side of child processes: watched, ended in time, reaped, and started again."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from isocline.errors import IsoclineError
from isocline.subprocesses.fork import ForkedProcess
from isocline.subprocesses.framing import Channel, FramingError
from isocline.subprocesses.spawn import start

if TYPE_CHECKING:
    import asyncio

_GRACE = 5.0  # s from asking a child to end until killing it
_LAST = 1.0  # s for which a child that has closed its connection may take to end
_LOOK = 0.005  # s between looks


class ProcessError(IsoclineError):
    """A child process ended before its time; what it said of it is on stderr."""


def ending(status: int) -> str:
    """Describe how a process ended, by its exit status, below 0 for a signal."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # of real time
        name = f"signal {-status}"
    # The kernel ends a process so when there is no memory left, and no other trace of it remains.
    why = ", often for lack of memory" if -status == signal.SIGKILL else ""
    return f"was killed by {name}{why}"


@final
class Backoff:
    """Pauses before restarts, s: each twice the one before, until it is reset."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = first
        self._longest = longest

    def pause(self) -> float:
        """Return the pause before the next restart."""
        pause = self._next
        self._next = min(2.0 * pause, self._longest)
        return pause

    def reset(self) -> None:
        """Begin again: what was started has proved itself."""
        self._next = self._first


@final
class ProcessGroup:
    """A child process that leads a group of its own, and what it has started in that group."""

    def __init__(self, leader: "subprocess.Popen[bytes]") -> None:
        self._leader = leader

    @property
    def pid(self) -> int:
        """Id of the leader."""
        return self._leader.pid

    @property
    def status(self) -> int | None:
        """Exit status of the leader, below 0 for a signal; None until it is reaped."""
        return self._leader.returncode

    @property
    def dead(self) -> bool:
        """Whether the leader has ended."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._leader.poll() is not None
        if self._leader.returncode is not None:
            return True
        # Without reaping it, so that its number remains its group's: see `kill`.
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, ended) is not None

    def terminate(self) -> None:
        """Ask the group to end."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGTERM)
            os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> int:
        """Kill the group at once, and reap its leader; returns the leader's status."""
        # Before it is waited for: until then its number is its group's, and no other's.
        if self.status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        return self._leader.wait()


def await_ends(groups: Iterable[ProcessGroup], grace: float) -> None:
    """Wait until the leaders of groups have ended, for `grace` s at most."""
    end = time.monotonic() + grace
    left = list(groups)
    while time.monotonic() < end and (left := [group for group in left if not group.dead]):
        time.sleep(_LOOK)


async def end_in_loop(process: "asyncio.subprocess.Process | ForkedProcess", grace: float) -> None:
    """Wait until a process of the event loop has ended; after `grace` s it is killed."""
    import asyncio  # noqa: PLC0415

    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@final
class Child:
    """A child process that gets messages and answers them; ended at the end of a `with`."""

    def __init__(self, module: str, name: str, remedy: str) -> None:
        """Start `main()` of a module.

        Args:
            module: Full name of the module.
            name: Name of the process in messages.
            remedy: What to do if it ends before its time, for the message that says so.

        Raises:
            OSError: No process can be started.
        """
        self._name, self._remedy = name, remedy
        process, end = start(module)
        self._process = process
        self._group = ProcessGroup(process)
        self._channel = Channel(end)

    def tell(self, message: object) -> None:
        """Send it a message; raises ProcessError if it is gone."""
        try:
            self._channel.send(message)
        except ConnectionError:
            raise self._gone() from None

    def hear(self) -> Any:
        """Wait for its next message; raises ProcessError if none will come."""
        try:
            return self._channel.receive()
        except EOFError:
            raise self._gone() from None
        except FramingError as error:
            raise self._failed(f"sent what is no message: {error}") from error

    def ask(self, message: object = None) -> Any:
        """Send it a message, and wait for the answer; raises ProcessError."""
        self.tell(message)
        return self.hear()

    def fileno(self) -> int:
        """Return the descriptor of the connection, for a selector."""
        return self._channel.fileno()

    def interrupt(self) -> None:
        """Send it SIGINT; a signal handler may call."""
        self._process.send_signal(signal.SIGINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._group.terminate()
        try:
            await_ends([self._group], _GRACE)
        finally:
            self._group.kill()
            self._channel.close()

    def _gone(self) -> ProcessError:
        try:
            how = ending(self._process.wait(_LAST))
        except subprocess.TimeoutExpired:
            how = "closed its connection"
        return self._failed(how)

    def _failed(self, how: str) -> ProcessError:
        return ProcessError(f"the process of {self._name} {how}; {self._remedy}")


def answers(children: Sequence[Child]) -> list[Any]:
    """Wait for one message of each child that owes one; raises ProcessError as soon as one ends."""
    found: dict[int, Any] = {}
    with selectors.DefaultSelector() as selector:
        for number, child in enumerate(children):
            selector.register(child, selectors.EVENT_READ, number)
        while len(found) < len(children):
            for key, _ in selector.select():
                selector.unregister(key.fileobj)
                found[key.data] = children[key.data].hear()
    return [found[number] for number in range(len(children))]
