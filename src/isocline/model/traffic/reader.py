"""Trace files of any known format."""

import os
from collections.abc import Callable
from pathlib import Path

from isocline.errors import TraceError
from isocline.model.traffic.azure import HEADER, read_azure
from isocline.model.traffic.mooncake import read_mooncake
from isocline.model.traffic.trace import Trace

FORMATS: dict[str, Callable[[Path], Trace]] = {"azure": read_azure, "mooncake": read_mooncake}


def read_trace(path: str | os.PathLike[str], format: str = "auto") -> Trace:  # noqa: A002
    """Read a trace; `format` is a name in FORMATS, or "auto" to tell by the first line.

    Raises:
        TraceError: The format is unknown, or the file is bad; the message names file and row.
    """
    path = Path(path)
    if format == "auto":
        format = _format_of(path)  # noqa: A001
    if format not in FORMATS:
        known = ", ".join(["auto", *FORMATS])
        raise TraceError(f"{path}: unknown trace format {format!r}; known: {known}")
    return FORMATS[format](path)


def _format_of(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline(200).strip()
    except OSError:
        return "azure"  # whose reader says what is wrong with the file
    if first.startswith("{"):
        return "mooncake"
    if first.startswith(HEADER[0]) or not first:
        return "azure"
    raise TraceError(
        f"{path}:1: unknown trace format, beginning {first[:40]!r}; known: "
        f"azure (CSV with header {','.join(HEADER)}) and mooncake (JSON lines with timestamp in ms)"
    )
