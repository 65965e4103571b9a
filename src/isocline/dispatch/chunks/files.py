"""Files of data sets on this machine or behind any URL that fsspec knows, with plain errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, final

from isocline.errors import UsageError
from isocline.extras import extras_named


@final
class Folder:
    """Folder of a data set.

    Attributes:
        url: Path or URL, without a slash at its end.
    """

    def __init__(self, url: str) -> None:
        """Open a path or URL, without looking at it.

        Raises:
            UsageError: No file system has URLs like it.
            MissingExtraError: fsspec is not installed.
        """
        self.url = url.rstrip("/") or "/"
        self._system, self._root = _opened(self.url)

    def names(self, below: str) -> list[str]:
        """Names of the files and folders in a folder below this one; empty if there is none."""
        path = self._path(below)
        with refused(f"{self.url}/{below}"):
            try:
                found = self._system.ls(path, detail=False)
            except FileNotFoundError:
                return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def exists(self, below: str) -> bool:
        """Whether there is such a file."""
        with refused(f"{self.url}/{below}"):
            return bool(self._system.exists(self._path(below)))

    def open(self, below: str) -> IO[bytes]:
        """Open a file to read; use within `refused`."""
        file: IO[bytes] = self._system.open(self._path(below), "rb")
        return file

    def read(self, below: str) -> bytes:
        """Contents of a file.

        Raises:
            UsageError: It cannot be read.
        """
        with refused(f"{self.url}/{below}"), self.open(below) as file:
            return file.read()

    def _path(self, below: str) -> str:
        return f"{self._root.rstrip('/')}/{below}" if below else self._root


def paths_of(pattern: str) -> list[str]:
    """Paths or URLs of the files that a path, URL or pattern (`*`, `**`) names, in order.

    Raises:
        UsageError: There is none, or it cannot be looked for.
        MissingExtraError: fsspec is not installed.
    """
    if not any(sign in pattern for sign in "*?["):
        return [pattern]
    protocol, mark, _ = pattern.partition("://")
    system, path = _opened(pattern)
    with refused(pattern):
        found = sorted(name for name in system.glob(path) if system.isfile(name))
    if not found:
        raise UsageError(f"{pattern}: there is no such file; correct the pattern")
    if mark:
        return [name if "://" in name else protocol + mark + name for name in found]
    # fsspec makes local paths absolute, and chunks should be named as their pattern is.
    root = path[: len(path) - len(pattern)] if path.endswith(pattern) else ""
    return [name.removeprefix(root) for name in found]


def _opened(url: str) -> tuple[Any, str]:
    """File system of a path or URL, and the path in it."""
    with extras_named(lambda: "reading of tables and Parquet files"):
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra
    with refused(url):
        try:
            system, path = url_to_fs(url)
        except ValueError as error:
            raise UsageError(f"{url}: {error}; give a path, or a URL that fsspec knows") from error
    return system, path


@contextmanager
def refused(name: str) -> Iterator[None]:
    """Turn errors of reading a file, or of what is in it, into a UsageError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"{name}: does not exist; correct the path") from error
    except PermissionError as error:
        raise UsageError(f"{name}: may not be read by this user; change its permissions") from error
    except ImportError as error:  # a file system whose package is missing; fsspec names it
        raise UsageError(f"{name}: {error}") from error
    except UsageError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise UsageError(f"{name}: {_words(error)}") from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return f"is damaged, or not what it should be ({type(error).__name__}: {error})"


def whole(name: str, value: Any) -> int:
    """A whole number of a table's metadata, 0 or more; raises UsageError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{name} is {value!r:.80}, where a whole number belongs")
    return value
