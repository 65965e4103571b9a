"""Locations of files in HDFS, by WebHDFS, the REST interface of its namenodes.

Source: Hadoop's documentation of WebHDFS. GETFILEBLOCKLOCATIONS came with HDFS-12459; older
namenodes know GET_BLOCK_LOCATIONS, which says the same in another form.
"""

import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, NamedTuple, final
from urllib.parse import quote, unquote, urlencode, urlsplit

from isocline.arguments import POSITIVE, at_least, checked
from isocline.dispatch.chunks.chunk import Chunk
from isocline.dispatch.locations.reader import Holders, LocationReader
from isocline.errors import UsageError
from isocline.extras import extras_named

_HTTP = {"webhdfs": "http", "swebhdfs": "https"}
_PROTOCOLS = {*_HTTP, "hdfs"}  # of chunks
_NEW, _OLD = "GETFILEBLOCKLOCATIONS", "GET_BLOCK_LOCATIONS"
_ROUNDS = 2  # over all namenodes, as the active one may change meanwhile
_ANSWER = 64 << 20  # bytes, of 100 000 blocks and more
_REDIRECTS = 4
_BUSY = {500, 502, 503, 504}  # statuses after which another namenode is asked
_PASSED_ON = {"StandbyException", "RetriableException", "SafeModeException"}
_FORM = "webhdfs://HOST:9870/FOLDER, or swebhdfs:// for TLS"


class Block(NamedTuple):
    """Block of a file, and the hosts that have it."""

    offset: int
    size: int  # bytes
    hosts: tuple[str, ...]


@final
class WebHdfs(LocationReader):
    """Hosts of the blocks of files in HDFS.

    A chunk is a path in HDFS, absolute or below the URL's folder, or the file's URL. Its holders
    are the hosts of its blocks, those with most bytes of it first. Names of hosts stand for the
    nodes on them.
    """

    @checked(at_a_time=at_least(1), most=at_least(1), patience=POSITIVE)
    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        token: str | Path | None = None,
        at_a_time: int = 16,
        patience: float = 10.0,
        most: int = 100_000,
    ) -> None:
        """Initialise, without asking anything.

        Args:
            url: `webhdfs://HOST:PORT/FOLDER`, or `swebhdfs://` for TLS. Of a pair of namenodes
                both are given, separated by a comma: `webhdfs://nn1:9870,nn2:9870/`.
            user: Name of the user, as `user.name`, for clusters without Kerberos.
            token: Delegation token; as a Path, a file that has it, read at each request.
            at_a_time: Requests under way at a time.
            patience: Time in which a namenode must answer, s.
            most: Chunks of which the holders are kept in memory.

        Raises:
            UsageError: The URL is none of WebHDFS, or user and token are both given.
            MissingExtraError: urllib3 is not installed.
        """
        with extras_named(lambda: "locations in HDFS"):
            import urllib3  # noqa: PLC0415 - an extra
        self._source, self._namenodes, self._folder = _parts(url)
        if user is not None and token is not None:
            raise UsageError(f"{self._source}: user and token are both given; leave one out")
        self._user, self._token = user, token
        self._at_a_time, self._most = at_a_time, most
        self._pool = urllib3.PoolManager(
            maxsize=at_a_time,
            timeout=urllib3.Timeout(patience),
            retries=urllib3.Retry(_REDIRECTS, connect=0, read=0, redirect=_REDIRECTS, other=0),
        )
        self._patience = patience
        self._active = 0  # number of the namenode that answered last
        self._operation = _NEW
        self._known: OrderedDict[str, Holders] = OrderedDict()  # latest last
        self._lock = Lock()  # of `_known`

    def __call__(self, chunk: str) -> Holders:
        with self._lock:
            if (holders := self._known.get(chunk)) is not None:
                self._known.move_to_end(chunk)
                return holders
        return self._ask(chunk)

    def look_up(self, chunks: Iterable[str] | Mapping[str, Chunk]) -> dict[str, Holders]:
        """Map chunks to their holders; ranges of one file share a request.

        Raises:
            UsageError: No namenode answers, a file does not exist or may not be read, or the answer
                is of no version that is known.
        """
        ranges = chunks if isinstance(chunks, Mapping) else None
        names = dict.fromkeys(chunk.path for chunk in ranges.values()) if ranges else chunks
        found: dict[str, Holders] = {}
        with ThreadPoolExecutor(self._at_a_time) as threads:
            try:
                if ranges is None:
                    found.update(_in_batches(threads, self, names, self._at_a_time))
                else:
                    blocks = dict(_in_batches(threads, self._blocks, names, self._at_a_time))
                    found.update(
                        (name, _by_bytes(blocks[it.path], it.offset, it.offset + it.size))
                        for name, it in ranges.items()
                    )
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        return found

    def ahead(self, chunks: Iterable[str]) -> Iterator[str]:
        size = min(self._most, 4 * self._at_a_time)
        rest = iter(chunks)
        with ThreadPoolExecutor(self._at_a_time) as threads:
            while some := list(islice(rest, size)):
                for _ in threads.map(self, some):
                    """Their holders are known now."""
                yield from some

    def _ask(self, chunk: str) -> Holders:
        holders = _by_bytes(self._blocks(chunk))
        with self._lock:
            self._known[chunk] = holders
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return holders

    def _blocks(self, chunk: str) -> list[Block]:
        """Blocks of a file."""
        path, operation = self._path(chunk), self._operation  # other threads may change it
        status, answer = self._answer(path, operation)
        if status == 400 and operation == _NEW:  # its server does not know it, or the path
            older = self._answer(path, _OLD)
            if older[0] == 200:
                self._operation = _OLD
                status, answer = older
        if status != 200:
            raise self._refused(path, status, answer)
        try:
            return _blocks_in(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{self._source}: {path}: the answer is of no version of WebHDFS that is known "
                f"here (neither {_NEW} nor {_OLD}); is this the HTTP port of a namenode, such as "
                "9870?"
            ) from error

    def _path(self, chunk: str) -> str:
        """Path of a chunk in HDFS."""
        if urlsplit(chunk).scheme in _PROTOCOLS:
            return unquote("/" + chunk.partition("://")[2].partition("/")[2])
        return str(PurePosixPath(self._folder) / chunk)

    def _answer(self, path: str, operation: str) -> tuple[int, Any]:
        """Status and JSON of the first namenode that is active."""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        query = urlencode({"op": operation, **self._credentials()})
        reasons: dict[str, str] = {}
        for _ in range(_ROUNDS):
            for step in range(len(self._namenodes)):
                number = (self._active + step) % len(self._namenodes)
                namenode = self._namenodes[number]
                try:
                    status, answer = self._got(f"{namenode}/webhdfs/v1{quote(path)}?{query}")
                except HTTPError as error:
                    reasons[namenode] = self._words(error)
                    continue
                kind, said = _exception(answer)
                if status in _BUSY or kind in _PASSED_ON:
                    reasons[namenode] = said or f"status {status}"
                    continue
                self._active = number
                return status, answer
        said = "; ".join(f"{namenode}: {reason}" for namenode, reason in reasons.items())
        raise UsageError(
            f"{self._source}: no namenode answers ({said}); correct the address, or start HDFS"
        )

    def _got(self, url: str) -> tuple[int, Any]:
        response = self._pool.request("GET", url, preload_content=False)
        try:
            content = response.read(_ANSWER + 1)
        finally:
            response.release_conn()
        try:
            return response.status, json.loads(content) if len(content) <= _ANSWER else None
        except ValueError:
            return response.status, None

    def _credentials(self) -> dict[str, str]:
        if self._user is not None:
            return {"user.name": self._user}
        if isinstance(self._token, Path):
            try:
                return {"delegation": self._token.read_text(encoding="utf-8").strip()}
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(
                    f"{self._source}: the file of the token, {self._token}, cannot be read; give "
                    "one that has a delegation token as text"
                ) from error
        return {} if self._token is None else {"delegation": self._token}

    def _refused(self, path: str, status: int, answer: Any) -> UsageError:
        """Error for an answer that is none; it does not name the URL, which may have a token."""
        kind, said = _exception(answer)
        place = f"{self._source}: {path}"
        if status == 404 and kind is not None:
            return UsageError(f"{place}: does not exist, or is a folder; correct the chunk's name")
        if status == 401 or kind in {"InvalidToken", "SecurityException"}:
            return UsageError(
                f"{place}: the server wants to know who asks ({said or status}); give a valid "
                "delegation token (token_file=PATH), as `hdfs fetchdt` makes one"
            )
        if status == 403:
            who = "the token's user" if self._token else f"user {self._user or '(none given)'}"
            return UsageError(
                f"{place}: {who} may not read it ({said or status}); give another user"
            )
        return UsageError(
            f"{place}: status {status} ({said or 'without a reason'}); is this the HTTP port of a "
            "namenode, such as 9870?"
        )

    def _words(self, error: Exception) -> str:
        """Reason why there is no answer, without the URL, which may have a token."""
        from urllib3 import exceptions  # noqa: PLC0415

        cause = error.reason if isinstance(error, exceptions.MaxRetryError) else error
        match cause:
            case exceptions.SSLError():
                return "its certificate is not trusted"
            case exceptions.NameResolutionError():
                return "there is no such host"
            case exceptions.NewConnectionError():  # which is a TimeoutError, too
                return "refuses connections"
            case exceptions.TimeoutError():
                return f"no answer within {self._patience:g} s"
            case exceptions.ResponseError():
                return f"more than {_REDIRECTS} redirects"
        return f"the connection broke ({type(cause).__name__})"


def _parts(url: str) -> tuple[str, list[str], str]:
    """Name of a source for messages, HTTP addresses of its namenodes, and its folder."""
    scheme, mark, rest = url.partition("://")
    hosts, _, folder = rest.partition("/")
    if not mark or scheme not in _HTTP or not hosts:
        raise UsageError(f"locations: {url!r:.200} is not of WebHDFS; give {_FORM}")
    namenodes = []
    for host in hosts.split(","):
        try:
            parts = urlsplit(f"//{host}")
            known = parts.hostname and parts.port and "@" not in host
        except ValueError:
            known = None
        if not known:
            raise UsageError(f"locations: {url!r:.200}: {host!r} is not HOST:PORT; give {_FORM}")
        namenodes.append(f"{_HTTP[scheme]}://{host}")
    return f"locations: {scheme}://{hosts}", namenodes, "/" + unquote(folder)


def _in_batches(
    threads: ThreadPoolExecutor, function: Any, names: Iterable[str], at_a_time: int
) -> Iterator[tuple[str, Any]]:
    """Yield names with a function's value, without a queue of all of them."""
    rest = iter(names)
    while some := list(islice(rest, 4 * at_a_time)):
        yield from zip(some, threads.map(function, some), strict=True)


def _exception(answer: Any) -> tuple[str | None, str]:
    """Name and first line of the exception that an answer reports."""
    found = answer.get("RemoteException") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        return None, ""
    said = str(found.get("message", "")).strip().split("\n")[0]
    return str(found.get("exception")), said[:200]


def _blocks_in(answer: Any) -> list[Block]:
    """Blocks in an answer of either form; raises KeyError or TypeError if it is none."""
    if "BlockLocations" in answer:
        return [
            Block(int(it["offset"]), int(it["length"]), tuple(map(str, it["hosts"])))
            for it in answer["BlockLocations"]["BlockLocation"]
            if not it.get("corrupt")
        ]
    return [
        Block(
            int(it["startOffset"]),
            int(it["block"]["numBytes"]),
            tuple(str(at["hostName"]) for at in it["locations"]),
        )
        for it in answer["LocatedBlocks"]["locatedBlocks"]
        if not it.get("isCorrupt")
    ]


def _by_bytes(blocks: Iterable[Block], start: int = 0, end: int | None = None) -> Holders:
    """Hosts of a range of a file, those with most of its bytes first."""
    held: Counter[str] = Counter()
    for block in blocks:
        last = block.offset + block.size
        common = min(last, last if end is None else end) - max(block.offset, start)
        if common > 0:
            for host in block.hosts:
                held[host] += common
    return tuple(host for host, _ in held.most_common())
