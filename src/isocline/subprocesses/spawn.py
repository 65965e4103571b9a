"""Start of a child process: a module of ours, run by this interpreter, connected to its parent.

The connection is a pair of sockets. A child's end is closed with its parent, however that ends: by
this a child notices that it is an orphan. Linux's parent-death signal is no substitute, as it is
sent when the thread ends that has started the child, which need not be the last one.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

# The library first, so that nothing in a directory of the user's stands before its own modules (-P
# for the same reason); from then on, modules are looked for where the parent looks for them. Not by
# PYTHONPATH, which the commands that a child starts would inherit.
_BEGIN = "import sys; sys.path += {path}; from {module} import main; sys.path[:] = {path}; main()"


def start(
    module: str,
    *,
    environment: Mapping[str, str] | None = None,
    stdout: int | None = subprocess.DEVNULL,
    stderr: int | None = None,
) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start `main()` of a module in a child process that leads a session and a group of its own.

    Args:
        module: Full name of the module.
        environment: Variables beside those of this process.
        stdout: As of Popen; by default discarded, as this process's own may be a document.
        stderr: As of Popen; by default this process's.

    Returns:
        The process, and this process's end of the connection.

    Raises:
        OSError: No process can be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                _command(module, theirs),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is the parent's to act on
                env={**os.environ, **(environment or {})},
            )
        except BaseException:
            ours.close()
            raise
    return process, ours


async def start_in_loop(
    module: str, *, descriptors: Sequence[int] = ()
) -> tuple["asyncio.subprocess.Process", socket.socket]:
    """Start `main()` of a module in a child process that the event loop watches.

    It stays in this process's group, and inherits standard output and error, and `descriptors`.

    Returns:
        The process, and this process's end of the connection.

    Raises:
        OSError: No process can be started.
    """
    import asyncio  # noqa: PLC0415  a child that needs only `connection` need not load it

    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                *_command(module, theirs),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *descriptors),
            )
        except BaseException:
            ours.close()
            raise
    return process, ours


def connection() -> socket.socket:
    """Return a child's end of the connection to its parent; called once, in the child."""
    end = socket.socket(fileno=int(sys.argv[1]))
    end.set_inheritable(False)
    return end


def _command(module: str, end: socket.socket) -> list[str]:
    path = ascii([entry for entry in sys.path if isinstance(entry, str)])
    begin = _BEGIN.format(path=path, module=module)
    return [sys.executable, "-P", "-X", "faulthandler", "-c", begin, str(end.fileno())]
