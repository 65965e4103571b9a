"""What every trace reader checks, and how it says which row is wrong."""

from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from isocline.errors import TraceError
from isocline.model.traffic.trace import FloatArray, Trace


def fail(path: Path, row: int, problem: str) -> NoReturn:
    """Raise TraceError with file and row; rows are lines of the file, from 1."""
    raise TraceError(f"{path}:{row}: {problem}")


def text_of(path: Path, row: str = "request") -> str:
    """The whole file; `row` is what one of its rows is.

    Raises:
        TraceError: It does not exist, cannot be read, is not text, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise TraceError(f"{path}: does not exist; give the path of a trace file") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: is not text; unpack it if it is compressed") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror})") from error
    if not text.strip():
        raise TraceError(f"{path}: is empty; give a file with at least one {row}")
    return text


def trace_from(
    path: Path,
    rows: npt.NDArray[np.int64],
    seconds: FloatArray,
    prompt: FloatArray,
    output: FloatArray,
) -> Trace:
    """Check the columns of n requests, (n,) each, and let time start at 0.

    Raises:
        TraceError: No requests, times that go backwards or never advance, or a token count that is
            negative or not finite.
    """
    if not seconds.size:
        raise TraceError(f"{path}: has no requests; give a file with at least one")
    back = np.flatnonzero(np.diff(seconds) < 0)
    if back.size:
        by = seconds[back[0]] - seconds[back[0] + 1]
        fail(path, rows[back[0] + 1], f"time goes back by {by:.6g} s; sort the rows by time")
    for name, tokens in (("prompt", prompt), ("output", output)):
        bad = np.flatnonzero(~((tokens >= 0) & np.isfinite(tokens)))
        if bad.size:
            found = f"{name} tokens are {tokens[bad[0]]:g}"
            fail(path, rows[bad[0]], f"{found}; correct or remove the row")
    if seconds.size > 1 and seconds[-1] == seconds[0]:
        raise TraceError(f"{path}: all requests come at one time; a rate needs at least two times")
    return Trace(path.name, seconds - seconds[0], prompt, output)
