"""Stub of a namenode's WebHDFS, over real sockets."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, final
from urllib.parse import parse_qs, unquote, urlsplit

NEW, OLD = "GETFILEBLOCKLOCATIONS", "GET_BLOCK_LOCATIONS"


class Block(NamedTuple):
    offset: int
    size: int
    hosts: tuple[str, ...]
    corrupt: bool = False


@final
class Namenode:
    """What a namenode knows, and what it was asked.

    Attributes:
        operations: Operations that it knows.
        standby: Whether it passes requests on to the other of its pair.
        moved: Address to which it redirects; None: nowhere.
        token, user: The only ones that may read, if any is needed.
        asked: Queries that it got, with their paths.
    """

    def __init__(self, files: Mapping[str, list[Block]]) -> None:
        self.files = files
        self.operations = {NEW, OLD}
        self.standby = False
        self.moved: str | None = None
        self.token: str | None = None
        self.user: str | None = None
        self.raw: bytes | None = None  # answered to all, if there is one
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.address = ""

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        self.asked.append((path, query))
        if self.standby:
            return failed(403, "StandbyException", "Operation category READ is not supported")
        if query["op"] not in self.operations:
            return failed(
                400,
                "IllegalArgumentException",
                f'Invalid value for webhdfs parameter "op": {query}',
            )
        if self.token is not None and query.get("delegation") != self.token:
            return failed(401, "SecurityException", "Failed to obtain user group information")
        if self.user is not None and query.get("user.name") != self.user:
            return failed(403, "AccessControlException", "Permission denied\n\tat org.apache")
        if path not in self.files:
            return failed(404, "FileNotFoundException", f"File does not exist: {path}")
        form = block_locations if query["op"] == NEW else located_blocks
        return 200, form(self.files[path])


def failed(status: int, kind: str, message: str) -> tuple[int, Any]:
    return status, {"RemoteException": {"exception": kind, "message": message}}


def block_locations(blocks: list[Block]) -> Any:
    """Answer in the form of the newer operation."""
    found = [
        {
            "cachedHosts": [],
            "corrupt": it.corrupt,
            "hosts": list(it.hosts),
            "length": it.size,
            "names": [f"{host}:9866" for host in it.hosts],
            "offset": it.offset,
            "storageTypes": ["DISK"] * len(it.hosts),
            "topologyPaths": [f"/default-rack/{host}:9866" for host in it.hosts],
        }
        for it in blocks
    ]
    return {"BlockLocations": {"BlockLocation": found}}


def located_blocks(blocks: list[Block]) -> Any:
    """Answer in the form of the older operation."""
    found = [
        {
            "block": {"blockId": number, "numBytes": it.size},
            "isCorrupt": it.corrupt,
            "locations": [{"hostName": host, "xferPort": 9866} for host in it.hosts],
            "startOffset": it.offset,
        }
        for number, it in enumerate(blocks)
    ]
    return {"LocatedBlocks": {"fileLength": 0, "locatedBlocks": found}}


@contextmanager
def served(namenode: Namenode) -> Iterator[Namenode]:
    """Serve a namenode at its `address`, HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if namenode.moved is not None:
                self.send_response(307)
                self.send_header("Location", f"http://{namenode.moved}{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            path = unquote(parts.path.removeprefix("/webhdfs/v1"))
            status, answer = namenode.answer(path, query)
            body = json.dumps(answer).encode() if namenode.raw is None else namenode.raw
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        namenode.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield namenode
        finally:
            server.shutdown()
            thread.join()
