"""Store of chunks that are files: own ones in one directory, fetched ones in another."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import final

from isocline.dispatch.engines.common.chunk_store import (
    BLOCK,
    ChunkPart,
    Loader,
    NotHereError,
    Store,
)
from isocline.dispatch.errors import AT_NODE, ChunkError


@final
class Directory(Store):
    """Store in directories: a chunk names a file below `root`; loaders get its path at this node.

    Nothing is ever written below `root`. A fetched file that is too large to keep exists until the
    next one is fetched.
    """

    def __init__(self, loader: Loader, most: int, root: Path, scratch: Path) -> None:
        super().__init__(most)
        self._loader = loader
        self._root = root
        self._kept = scratch / "kept"
        self._passing = scratch / "passing"
        self._partial = scratch / "part"  # prefix of partial files, one per thread

    @property
    def fetches(self) -> bool:
        return True

    def own(self, chunk: str, named: bool) -> bool:  # noqa: ARG002  the files say it
        return (self._root / checked(chunk)).is_file()

    def load(self, chunk: str) -> object:
        return self._loader(self._path(checked(chunk)))

    @contextmanager
    def sent(self, chunk: str) -> Iterator[ChunkPart]:
        try:
            file = self._path(checked(chunk)).open("rb")
        except FileNotFoundError:
            raise NotHereError from None
        with file:
            size = os.fstat(file.fileno()).st_size
            yield ChunkPart(size, iter(lambda: file.read(BLOCK), b""))

    def receive(self, chunk: str, part: ChunkPart) -> Callable[[], object]:
        keep = self.fits(part.size)
        if threading.current_thread() is threading.main_thread():  # the previous task has ended
            shutil.rmtree(self._passing, ignore_errors=True)
        target = (self._kept if keep else self._passing) / checked(chunk)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial_file = self._partial.with_suffix(f".{threading.get_ident()}")
        try:
            with partial_file.open("wb") as file:
                for block in part.blocks:
                    file.write(block)
            partial_file.replace(target)
        finally:
            partial_file.unlink(missing_ok=True)
        if keep:
            with self._changing:
                self._sizes[chunk] = part.size
        return partial(self._loader, target)

    def _path(self, chunk: PurePosixPath) -> Path:
        own = self._root / chunk
        return own if own.is_file() else self._kept / chunk

    def _drop(self, chunk: str) -> None:
        (self._kept / checked(chunk)).unlink(missing_ok=True)


def checked(chunk: str) -> PurePosixPath:
    """Return a chunk's path below a directory; raises ChunkError if it leads elsewhere."""
    path = PurePosixPath(chunk)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ChunkError(
            AT_NODE,
            f"chunk {chunk!r} is not the name of a file below a node's directory; "
            "give its path relative to that directory, without '..'",
        )
    return path
