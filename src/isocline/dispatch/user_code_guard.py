"""Guard for calls of users' code in the scheduler's process: contains its exceptions.

Users' code runs there when a job file is imported and its chunks are listed, when locations are
looked up, when values are pickled, unpickled, printed or written as JSON, and in callbacks and
progress hooks. All of these calls go through `guarded`, so that neither `sys.exit()` nor an
exception whose `__str__` raises ends a thread that serves all tasks.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

_LONGEST = 200  # characters of a value in a message


class Caught(NamedTuple):
    """Caught exception, in place of a result."""

    error: BaseException


def guarded(function: Callable[..., T], *arguments: Any) -> T | Caught:
    """Call users' code; returns its result, or any exception, including `SystemExit`.

    If the code forks, the child ends here, and only its parent continues.

    Raises:
        KeyboardInterrupt: In the main thread, where it is Ctrl-C.
    """
    found = _tried(function, *arguments)
    if (
        isinstance(found, Caught)
        and isinstance(found.error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
    ):
        raise found.error
    return found


def end_fork(process: int, error: BaseException | None = None) -> None:
    """Exit, with the status of `error`, if this process is a forked child of `process`."""
    if os.getpid() == process:
        return
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        status = 1
        with suppress(BaseException):
            traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    os._exit(status & 0xFF)


def words(error: BaseException) -> str:
    """Type and text of an exception, even if its `__str__` raises."""
    name, text = type(error).__name__, _tried(_text, error, str)
    if isinstance(text, Caught):
        return f"{name} (its __str__ raises {type(text.error).__name__})"
    return printable(f"{name}: {text}") if text else name


def shown(value: object) -> str:
    """`repr` of a value, shortened for messages, even if it raises."""
    text = _tried(_text, value, repr)
    if isinstance(text, Caught):
        return f"<{type(value).__name__}, whose __repr__ raises {type(text.error).__name__}>"
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def printable(text: str) -> str:
    """Text with lone surrogates, as in file names that are not UTF-8, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def plain_text(text: str) -> str:
    """Text as a plain `str`, since methods of a subclass are users' code."""
    return text if type(text) is str else str.__str__(text)


def _tried(function: Callable[..., T], *arguments: Any) -> T | Caught:
    process = os.getpid()
    found: T | Caught
    try:
        found = function(*arguments)
    except BaseException as error:
        end_fork(process, error)
        found = Caught(error)
    end_fork(process)
    return found


def _text(value: object, form: Callable[[object], str]) -> str:
    return "".join((form(value),))  # join makes a plain `str`, whatever `__str__` returns
