"""Locations in a CSV file: `chunk,node` or `chunk,node,bytes`, one row for each replica."""

import csv
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import Any

from isocline.dispatch.locations.reader import Holders
from isocline.errors import UsageError

_HEADS = (["chunk", "node"], ["chunk", "node", "bytes"])
_MOST = 10_000_000  # chunks, 2 GB with names of 80 characters


def read_csv(path: str | Path, *, most: int = _MOST) -> dict[str, Holders]:
    """Read locations from a CSV file; its first row is `chunk,node` or `chunk,node,bytes`.

    Bytes are what a node has of a chunk, where it may have a part; nodes that have more come
    first. Without them the order is that of the rows.

    Raises:
        UsageError: The file cannot be read, is malformed, or has more than `most` chunks.
    """
    found: dict[str, Holders] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    shared: dict[Any, Any] = {}  # equal tuples are one: there are few sets of holders, or sizes
    for line, (chunk, node, *size) in _rows(path):
        holders, held = found.get(chunk, ()), sizes.get(chunk, ())
        if node in holders:
            raise UsageError(
                f"{path}:{line}: node {node!r} has chunk {chunk!r} twice; name it once"
            )
        if not holders and len(found) == most:
            raise UsageError(
                f"{path}:{line}: more than {most:,} chunks; split the file, or give a function of "
                "the chunk"
            )
        holders = (*holders, intern(node))
        found[chunk] = shared.setdefault(holders, holders)
        if size:
            held = (*held, _bytes(path, line, size[0]))
            sizes[chunk] = shared.setdefault(held, held)
    for chunk, held in sizes.items():
        order = sorted(range(len(held)), key=lambda i: -held[i])
        holders = tuple(found[chunk][i] for i in order)
        found[chunk] = shared.setdefault(holders, holders)
    return found


def _rows(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Rows below the head, with the numbers of their lines."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            head = [cell.strip().lower() for cell in next(reader, [])]
            if head not in _HEADS:
                raise UsageError(
                    f"{path}:1: the first row is {','.join(head)!r:.80}; begin with chunk,node or "
                    "chunk,node,bytes"
                )
            for row in reader:
                if not row:
                    continue
                if len(row) != len(head) or not all(row[:2]):
                    raise UsageError(
                        f"{path}:{reader.line_num}: expected {','.join(head)}, got "
                        f"{','.join(row)!r:.80}"
                    )
                yield reader.line_num, row
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); correct the path") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not a CSV file in UTF-8 ({error})") from error


def _bytes(path: str | Path, line: int, text: str) -> int:
    if text.isascii() and text.isdecimal():
        return int(text)
    raise UsageError(f"{path}:{line}: bytes are {text!r:.80}; give a whole number, 0 or more")
