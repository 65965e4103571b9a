"""Compiled code of one function, kept on disk for other processes.

numba's own cache gives up with a traceback where it finds no directory to write to, does not read
one that it cannot write to, and prepares its whole compiler before it loads anything, which takes
as long as importing numba. Here a cache that cannot be used costs time, never the run: whatever
goes wrong with its files, the function is compiled.
"""

import functools
import glob
import hashlib
import logging
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, final

# Registers the type of functions that are called by address, which numba does only on compiling.
import numba.experimental.function_type  # noqa: F401
from numba.core import caching
from numba.core.runtime import rtsys

from isocline.compilation import cache_directory, compile_events, kernel_locks
from isocline.compilation.source_stamp import stamp_of

LOG = logging.getLogger(__name__)

_YOUNG = 3600.0  # s: code of another process that has started at the same time may be as old


def cache_of(function: Any) -> Any:
    """The cache of a function; one that keeps nothing where it has no source file."""
    try:
        return KernelCache(function)
    except (OSError, RuntimeError):  # typed in at a prompt; or numba found no directory
        return caching.NullCache()


@final
class DeferredCache:
    """Cache of a function, set up when numba first uses it.

    Most functions are neither compiled nor loaded on their own, as they are parts of others.
    """

    def __init__(self, function: Any):
        self._function = function

    @functools.cached_property
    def _found(self) -> Any:
        return cache_of(self._function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)


@final
class _Locator(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):  # type: ignore[misc]
    """Locator of one function's code, as numba calls it."""

    def __init__(self, function: Any, source: str):
        self._py_file = source
        self._function = function
        self._lineno = function.__code__.co_firstlineno
        self.places = cache_directory.readable(Path(source))
        self.written = cache_directory.writable(Path(source))

    def get_cache_path(self) -> str:
        """Where numba opens its index: it takes no None, so some path where nothing is written."""
        return str(self.written or Path(self._py_file).parent)

    def ensure_cache_path(self) -> None:
        """Make the directory once more: it may have been removed since the last time."""
        if self.written is not None:
            cache_directory.make(self.written)

    def get_source_stamp(self) -> str:
        """Digest of the sources, see `source_stamp`.

        Older versions of numba take the time of the file, which layers of an image cut to whole
        seconds, so that kernels compiled while it was built were never found.
        """
        return stamp_of(self._function)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Self | None:
        return cls(py_func, py_file) if Path(py_file).is_file() else None


@final
class _Results(caching.CompileResultCacheImpl):  # type: ignore[misc]
    """Files of results, in numba's format, at our locations."""

    _locator_classes = (_Locator, caching.IPythonCacheLocator, caching.ZipCacheLocator)


@final
class KernelFiles(caching.IndexDataCacheFile):  # type: ignore[misc]
    """The files of one function: an index from signatures to files of code.

    numba numbers the files of code. Two processes that begin with the same index, as two first
    starts at once, give one number to different code, and the index of one may then lead to the
    code of the other, for another signature. Here a file is named after what it is of, and is there
    before the index names it. One process at a time adds to an index; where the directory takes no
    locks, two can lose an entry of it, and no more.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep compiled code under a key; raises OSError."""
        name = self._named(key)
        self._save_data(name, data)
        lock = Path(f"{self._index_path}.lock")
        kernel_locks.acquire(lock)
        try:
            others = self._load_index()
            self._save_index(others | {key: name})
        finally:
            kernel_locks.release(lock)
        if not others:
            self._remove_old()

    def _named(self, key: Any) -> str:
        """Not the same for two keys, nor for two states of the source."""
        digest = hashlib.sha256(self._dump((key, self._source_stamp))).hexdigest()[:16]
        name: str = self._data_name_pattern.replace("{number:d}", digest)
        return name

    def _remove_old(self) -> None:
        """Code of an earlier state of the source, to which no index leads any more."""
        base = self._index_name.removesuffix(".nbi")
        for path in Path(self._cache_path).glob(f"{glob.escape(base)}.*.nbc"):
            with suppress(OSError):  # others may do the same
                if path.stat().st_mtime < time.time() - _YOUNG:
                    path.unlink()


@final
class KernelCache(caching.FunctionCache):  # type: ignore[misc]
    """Reads from all directories that may hold the function's code, writes to one."""

    _impl_class = _Results

    def __init__(self, function: Any):
        super().__init__(function)
        locator = self._impl.locator
        places = getattr(locator, "places", (locator.get_cache_path(),))
        self._kept = getattr(locator, "written", locator.get_cache_path()) is not None
        base, stamp = self._impl.filename_base, locator.get_source_stamp()
        self._cache_file = KernelFiles(self._cache_path, base, stamp)
        self._files = [KernelFiles(str(place), base, stamp) for place in places]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Compiled code for a signature, or None.

        Without `target_context.refresh()`, by which numba makes all it can compile known, and
        imports scipy. Code that was compiled before needs numba's runtime at most.
        """
        for file in self._files:
            found = self._loaded(file, sig, target_context)
            if found is not None:
                return found
        cache_directory.report()
        compile_events.started()  # numba compiles what was not found, then calls `save_overload`
        return self._compiled_meanwhile(sig, target_context) if self._kept else None

    def _compiled_meanwhile(self, sig: Any, target_context: Any) -> Any:
        """Compiled code that another process was busy with; else None.

        This one then has the lock until `save_overload`.
        """
        lock = self._lock(sig)
        with suppress(OSError):
            self._impl.locator.ensure_cache_path()
        kernel_locks.acquire(lock)
        found = self._loaded(self._cache_file, sig, target_context)
        if found is not None:
            kernel_locks.release(lock)
            compile_events.finished()
        return found

    def _lock(self, sig: Any) -> Path:
        """One path for a function and signature in all processes.

        A signature names the functions in it with their addresses, which differ.
        """
        named = re.sub(r" at 0x[0-9a-f]+", "", str(sig))
        digest = hashlib.sha256(named.encode()).hexdigest()[:16]
        return Path(self._cache_path) / f"{self._impl.filename_base}.{digest}.lock"

    def _loaded(self, file: Any, sig: Any, target_context: Any) -> Any:
        try:
            data = file.load(self._index_key(sig, target_context.codegen()))
            if data is None:
                return None
            if _may_use_runtime(data):
                rtsys.initialize(target_context)
            return self._impl.rebuild(target_context, data)
        except Exception as error:
            LOG.debug("%s: cannot load compiled code: %r", self, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code for a signature, if that is possible."""
        compile_events.finished()
        if not self._kept:
            return
        try:
            self._save(sig, data)
        except OSError as error:
            _report_once(f"compiled kernels cannot be kept in {self._cache_path}: {error.strerror}")
        finally:
            kernel_locks.release(self._lock(sig))

    def _save(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            raise
        except Exception:
            self.flush()  # an index that cannot be read, as one cut short
            super().save_overload(sig, data)


def _may_use_runtime(data: Any) -> bool:
    """Whether compiled code may need numba's runtime, which takes 20 ms to compile.

    Code that counts references names the functions it calls, such as `NRT_incref`. Kernels that
    create no arrays contain no such name.
    """
    library = data[0]
    if len(library) != 3 or library[1] != "object":  # as numba has it now
        return True
    object_code, _ = library[2]
    return b"NRT_" in object_code


def _report_once(message: str) -> None:
    if not _reported:
        _reported.append(message)
        LOG.warning("%s", message)


_reported: list[str] = []
