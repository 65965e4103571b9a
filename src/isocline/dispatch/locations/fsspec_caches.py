"""Caches of fsspec on nodes: which node has fetched which file.

Source: fsspec's `filecache` keeps a file of metadata in its directory, `cache`, in JSON; files of
`simplecache` are named by the SHA-256 of their path in the store, or as there with `same_names`.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import final

from isocline.dispatch.locations.node_directories import node_directories
from isocline.dispatch.locations.reader import Holders, LocationReader
from isocline.errors import UsageError
from isocline.extras import extras_named


class FsspecCache(LocationReader, ABC):
    """Caches of all nodes, as they were when last looked at.

    A chunk is the URL of a file, such as `s3://bucket/part-0`, also with the cache before it
    (`simplecache::s3://bucket/part-0`); or its path in the store, as fsspec names it.
    """

    def __init__(
        self, directories: Mapping[str, str | Path] | str, *, folder: Path | None = None
    ) -> None:
        """Look at the caches.

        Args:
            directories: Each node's directory as seen from here, or a template such as
                `/mnt/{node}/cache`.
            folder: Where relative paths start; None: at the working directory.

        Raises:
            UsageError: A directory does not exist or may not be read, or a cache is damaged.
            MissingExtraError: fsspec is not installed.
        """
        with extras_named(lambda: "locations of fsspec's caches"):
            import fsspec  # noqa: F401, PLC0415 - an extra
        self._directories = node_directories(directories, folder)
        self.nodes = sorted(self._directories)
        self.refresh()

    def refresh(self) -> None:
        """Look at the caches anew.

        Raises:
            UsageError: As above.
        """
        shared: dict[Holders, Holders] = {}
        found: dict[str, Holders] = {}
        for node, directory in self._directories.items():
            try:
                for key in self._fetched(directory):
                    holders = (*found.get(key, ()), node)
                    found[key] = shared.setdefault(holders, holders)
            except OSError as error:
                raise UsageError(
                    f"locations: {node}: {directory} cannot be read ({error.strerror}); change its "
                    "permissions, or leave the node out"
                ) from error
        self._holders = found

    def __call__(self, chunk: str) -> Holders:
        return self._holders.get(self._key(_path_in_store(chunk)), ())

    @abstractmethod
    def _fetched(self, directory: Path) -> set[str]:
        """Keys of the files that are wholly in a cache."""

    @abstractmethod
    def _key(self, path: str) -> str:
        """Key of a file, given its path in the store."""


@final
class FileCache(FsspecCache):
    """Caches of fsspec's `filecache`. Files that are there in part do not count."""

    def _fetched(self, directory: Path) -> set[str]:
        path = directory / "cache"
        there = set(os.listdir(directory))  # noqa: PTH208 - names alone
        if path.name not in there:  # written with the first file
            return set()
        try:
            entries = json.loads(path.read_bytes())
            return {
                name
                for name, entry in entries.items()
                if entry["blocks"] is True and entry["fn"] in there
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"locations: {path}: is no metadata of fsspec's filecache that is known here, "
                "which today is JSON; empty the cache, or update fsspec there"
            ) from error

    def _key(self, path: str) -> str:
        return path


@final
class SimpleCache(FsspecCache):
    """Caches of fsspec's `simplecache`."""

    def __init__(
        self,
        directories: Mapping[str, str | Path] | str,
        *,
        same_names: bool = False,
        folder: Path | None = None,
    ) -> None:
        """Look at the caches; `same_names` as given to fsspec, else see `FsspecCache`."""
        with extras_named(lambda: "locations of fsspec's caches"):
            from fsspec.implementations.cache_mapper import create_cache_mapper  # noqa: PLC0415
        self._mapper = create_cache_mapper(same_names)
        super().__init__(directories, folder=folder)

    def _fetched(self, directory: Path) -> set[str]:
        return {entry.name for entry in os.scandir(directory) if entry.is_file()}

    def _key(self, path: str) -> str:
        name: str = self._mapper(path)
        return name


def _path_in_store(chunk: str) -> str:
    """Path of a file as fsspec has it in the store, without the protocol."""
    from fsspec import get_filesystem_class  # noqa: PLC0415 - an extra

    url = chunk.rpartition("::")[2]
    protocol, mark, _ = url.partition("://")
    if not mark:
        return url
    try:
        path: str = get_filesystem_class(protocol)._strip_protocol(url)
    except (ImportError, ValueError) as error:
        raise UsageError(f"locations: chunk {chunk!r}: {error}") from error
    return path
