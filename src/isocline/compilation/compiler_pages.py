"""Pages of LLVM, handed back once what is to be compiled has been.

A process that has imported numba maps 150 MB of it, of which 40 MB are in memory after a start that
has only loaded kernels, never to be used again by a process that serves. They are the file's: one
that is needed after all is read again.
"""

import ctypes
import mmap
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_LIBRARY = "libllvmlite"
_HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +(\S.*)$", re.MULTILINE)
_CHANGED = re.compile(r"^(?:Anonymous|Swap): +[1-9]", re.MULTILINE)


def release_compiler() -> None:
    """Hand the pages back; on Linux only, elsewhere nothing is done."""
    if sys.platform != "linux" or "llvmlite" not in sys.modules:
        return
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    try:
        maps = Path("/proc/self/smaps").read_text(errors="replace")
    except OSError:  # no /proc
        return
    for begin, end in unchanged(_LIBRARY, maps):
        advise(begin, end - begin, mmap.MADV_DONTNEED)


def unchanged(library: str, maps: str) -> Iterator[tuple[int, int]]:
    """Find the parts of a library that are as its file has them, and stay so: begin and end.

    Args:
        library: Beginning of the file's name.
        maps: As of /proc/PID/smaps.
    """
    heads = list(_HEAD.finditer(maps))
    ends = [head.start() for head in heads[1:]] + [len(maps)]
    for head, end in zip(heads, ends, strict=True):
        begin, stop, rights, path = head.groups()
        if rights not in ("r--p", "r-xp") or not Path(path).name.startswith(library):
            continue
        if not _CHANGED.search(maps, head.end(), end):  # by no relocation, as addresses are
            yield int(begin, 16), int(stop, 16)
