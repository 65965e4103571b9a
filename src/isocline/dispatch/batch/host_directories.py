"""Loader of chunks that are files in directories of hosts, which all hosts see."""

import socket
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, final

from isocline.errors import IsoclineError


class UnmountedError(IsoclineError):
    """A chunk is in none of the directories that this host sees."""


@final
class HostDirectories:
    """Loader that reads a file in the host's own directory or, if it is not there, in another's.

    A host's name finds the machine that calls itself so, or by the first part of it.
    """

    def __init__(
        self, directories: Mapping[str, Path], loader: Callable[[Any], Any] | None
    ) -> None:
        """Initialise.

        Args:
            directories: Directory of each host, absolute.
            loader: Function from a file's path to the value that the task gets; None: its bytes.
        """
        self._directories = {host: str(directory) for host, directory in directories.items()}
        self._loader = loader

    def __call__(self, chunk: str) -> Any:
        path = self._path(chunk)
        return path.read_bytes() if self._loader is None else self._loader(path)

    def _path(self, chunk: str) -> Path:
        own = [host for host in self._directories if _label(host) == _this_host()]
        for host in dict.fromkeys((*own, *self._directories)):
            path = Path(self._directories[host], chunk)
            if path.is_file():
                return path
        raise UnmountedError(
            f"{chunk}: is in no directory that host {_this_host()} sees; mount the directories of "
            f"all hosts there, at the same paths: {', '.join(self._directories.values())}"
        )


@cache
def _this_host() -> str:
    return _label(socket.gethostname())


def _label(host: str) -> str:
    return host.lower().partition(".")[0]
