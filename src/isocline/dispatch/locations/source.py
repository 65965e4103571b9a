"""Sources of locations as text, in job files and as `isocline run --locations`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from isocline.dispatch.locations.consistent_hash import HashRing, Rendezvous
from isocline.dispatch.locations.csv_file import read_csv
from isocline.dispatch.locations.fsspec_caches import FileCache, SimpleCache
from isocline.dispatch.locations.node_directories import in_directories, node_directories
from isocline.dispatch.locations.reader import Holders, LocationReader
from isocline.dispatch.locations.webhdfs import WebHdfs
from isocline.errors import UsageError

Source = LocationReader | Mapping[str, Holders]
Options = Mapping[str, str]


class _Kind(NamedTuple):
    """Kind of source: how it is written, the names of its options, and its reader."""

    form: str
    options: tuple[str, ...]
    read: Callable[[str, Options, Path], Source]


def read_source(text: str, folder: Path | None = None) -> Source:
    """Read a source, such as `webhdfs://nn:9870/data?user=alice` or `csv:replicas.csv`.

    Args:
        text: Kind, place and options.
        folder: Where relative paths start; None: at the working directory.

    Raises:
        UsageError: There is no such kind of source, or it cannot be used; the message has the
            remedy.
        MissingExtraError: A library that it needs is not installed.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in _KINDS:
        forms = ", ".join(found.form for found in _KINDS.values())
        hint = "; HDFS is asked by WebHDFS" if kind in ("hdfs", "viewfs") else ""
        raise UsageError(f"locations: {text!r:.200} is of no known kind{hint}; give one of {forms}")
    known = _KINDS[kind]
    place, options = _options(rest, known.options) if known.options else (rest, {})
    if not place.strip("/"):
        raise UsageError(f"locations: {text!r:.200} names no place; give {known.form}")
    return known.read(place, options, folder or Path())


def _options(rest: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Split a place from the options behind it."""
    place, mark, query = rest.rpartition("?")
    if not mark:
        return rest, {}
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in known:
            raise UsageError(
                f"locations: there is no option {name!r:.80} of this kind; give "
                f"{' or '.join(known)}"
            )
        if not value:
            raise UsageError(f"locations: option {name} is empty; give a value, or leave it out")
    return place, options


def _whole(options: Options, name: str, otherwise: int) -> int:
    text = options.get(name, str(otherwise))
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"locations: {name}={text!r:.80}; give a whole number, 1 or more")
    return int(text)


def _web_hdfs(scheme: str) -> Callable[[str, Options, Path], Source]:
    def read(place: str, options: Options, folder: Path) -> Source:
        file = options.get("token_file")
        token = folder / file if file else None
        return WebHdfs(f"{scheme}:{place}", user=options.get("user"), token=token)

    return read


def _csv(place: str, _options: Options, folder: Path) -> Source:
    return read_csv(folder / place)


def _directories(place: str, _options: Options, folder: Path) -> Source:
    found = in_directories(node_directories(place, folder))
    if not found:
        raise UsageError(f"locations: {place}: there is no file in these directories")
    return {chunk: tuple(nodes) for chunk, nodes in found.items()}


def _file_cache(place: str, _options: Options, folder: Path) -> Source:
    return FileCache(place, folder=folder)


def _simple_cache(place: str, options: Options, folder: Path) -> Source:
    same = options.get("same_names", "false")
    if same not in ("true", "false"):
        raise UsageError(f"locations: same_names={same!r:.80}; give true or false")
    return SimpleCache(place, same_names=same == "true", folder=folder)


def _rendezvous(place: str, options: Options, _folder: Path) -> Source:
    return Rendezvous(place.split(","), _whole(options, "replicas", 1))


def _ring(place: str, options: Options, _folder: Path) -> Source:
    replicas, points = _whole(options, "replicas", 1), _whole(options, "virtual_nodes", 128)
    return HashRing(place.split(","), replicas, virtual_nodes=points)


_KINDS = {
    "webhdfs": _Kind("webhdfs://HOST:PORT/FOLDER", ("user", "token_file"), _web_hdfs("webhdfs")),
    "swebhdfs": _Kind("swebhdfs://HOST:PORT/FOLDER", ("user", "token_file"), _web_hdfs("swebhdfs")),
    "directories": _Kind("directories:/mnt/{node}/data", (), _directories),
    "filecache": _Kind("filecache:/mnt/{node}/cache", (), _file_cache),
    "simplecache": _Kind("simplecache:/mnt/{node}/cache", ("same_names",), _simple_cache),
    "rendezvous": _Kind("rendezvous:n0,n1,n2", ("replicas",), _rendezvous),
    "ring": _Kind("ring:n0,n1,n2", ("replicas", "virtual_nodes"), _ring),
    "csv": _Kind("csv:FILE", (), _csv),
}
