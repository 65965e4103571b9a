"""Checks that all trace readers share, and how they name a bad row."""

from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from isocline.errors import TraceError
from isocline.model.traffic.prompt_blocks import PromptBlocks
from isocline.model.traffic.trace import FloatArray, Mix, Trace


def fail(where: Path | str, row: int | None, problem: str) -> NoReturn:
    """Raise TraceError with file and row; rows are lines of the file, from 1."""
    raise TraceError(f"{where}{'' if row is None else f':{row}'}: {problem}")


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
        raise TraceError(
            f"{path}: cannot be read ({error.strerror}); give a readable file"
        ) from error
    if not text.strip():
        raise TraceError(f"{path}: is empty; give a file with at least one {row}")
    return text


def trace_from(
    where: str,
    rows: npt.NDArray[np.int64],
    seconds: FloatArray,
    sizes: dict[str, FloatArray],
    mix: Mix | None = None,
    blocks: PromptBlocks | None = None,
    *,
    any_order: bool = False,
) -> Trace:
    """Check the columns of n requests, (n,) each, and let time start at 0.

    Args:
        where: The file, for messages and as the trace's name.
        rows: Number of each request's row.
        seconds: Times.
        sizes: What is known of `prompt`, `output` and `work`.
        mix: Where the requests come in.
        blocks: Of their prompts.
        any_order: Sort by time; else times that go back are refused.

    Raises:
        TraceError: No requests, times that go backwards or never advance, or a size that is
            negative or not finite.
    """
    if not seconds.size:
        raise TraceError(f"{where}: has no requests; give a file with at least one")
    if any_order and (np.diff(seconds) < 0).any():
        order = np.argsort(seconds, kind="stable")
        rows, seconds = rows[order], seconds[order]
        sizes = {name: size[order] for name, size in sizes.items()}
        mix = mix and mix.taken(order)
        blocks = blocks and blocks.taken(order)
    back = np.flatnonzero(np.diff(seconds) < 0)
    if back.size:
        by = seconds[back[0]] - seconds[back[0] + 1]
        fail(where, rows[back[0] + 1], f"time goes back by {by:.6g} s; sort the rows by time")
    for name, size in sizes.items():
        bad = np.flatnonzero(~((size >= 0) & np.isfinite(size)))
        if bad.size:
            what = "work is" if name == "work" else f"{name} tokens are"
            fail(where, rows[bad[0]], f"{what} {size[bad[0]]:g}; correct or remove the row")
    if seconds.size > 1 and seconds[-1] == seconds[0]:
        raise TraceError(f"{where}: all requests come at one time; a rate needs at least two times")
    none = np.zeros(seconds.size)
    return Trace(
        Path(where).name,
        seconds - seconds[0],
        sizes.get("prompt", none),
        sizes.get("output", none),
        sizes.get("work"),
        mix,
        sized=bool(sizes),
        blocks=blocks,
    )
