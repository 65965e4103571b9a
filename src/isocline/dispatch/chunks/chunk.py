"""Chunk: a file, or a range of one."""

from typing import NamedTuple


class Chunk(NamedTuple):
    """File, or range of a file, that a task reads."""

    path: str  # path or URL of the file
    offset: int  # of its first byte
    size: int  # bytes; as stored, so compressed
