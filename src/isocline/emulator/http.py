"""HTTP/1.1 on one connection: requests one after the other, also when they are pipelined.

The routes of the emulated server, and the answer of each, come first.
"""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast, final

import httptools

from isocline.arguments import whole_number
from isocline.emulator import orca, replies
from isocline.emulator.answer import Answer, StreamedAnswer
from isocline.emulator.completion_request import ApiError, CompletionRequest, read_completion
from isocline.emulator.engine import Engine
from isocline.errors import IsoclineError
from isocline.model.systemfile.one_curve import read_curve

Handler = Callable[["Connection", bytes], Answer | None]
"""Answers at once and returns None, or returns the answer that is under way."""


def route(connection: "Connection", method: str, target: bytes, body: bytes) -> Answer | None:
    """Answer a request, now or later."""
    path = target.partition(b"?")[0].decode("latin-1")
    handlers = _ROUTES.get(path)
    try:
        if handlers is None:
            raise ApiError(404, f"{path}: there is no such thing here", "NotFoundError")
        handler = handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allow = ", ".join(handlers)
            raise ApiError(405, f"{path}: {method} is not for it; use {allow}", allow=allow)
        return handler(connection, body)
    except ApiError as problem:
        connection.refuse(problem)
    except IsoclineError as problem:
        connection.refuse(ApiError(400, str(problem)))
    return None


def _chat(connection: "Connection", body: bytes) -> Answer | None:
    return _complete(connection, body, chat=True)


def _completion(connection: "Connection", body: bytes) -> Answer | None:
    return _complete(connection, body, chat=False)


def _complete(connection: "Connection", body: bytes, chat: bool) -> Answer | None:
    engine = connection.engine
    faults, happens = engine.faults, engine.random.random
    completion = read_completion(body, chat, engine.settings)
    if happens() < faults.error:
        raise ApiError(500, "this error was asked for", "InternalServerError")
    if happens() < faults.garbage:
        connection.write(b"\x16\x03" + engine.random.randbytes(510))  # no HTTP begins like this
        connection.close()
        return None
    if happens() < faults.hang:
        return None
    if engine.models is None or engine.models.serves(completion.model):
        return _begin(connection, completion)
    then = connection.later(lambda: _begin(connection, completion))
    engine.load(completion.model, then, on_demand=True)
    return None


def _begin(connection: "Connection", completion: CompletionRequest) -> Answer:
    """Serve a completion from now on."""
    engine = connection.engine
    faults, happens = engine.faults, engine.random.random
    kind = StreamedAnswer if completion.stream else Answer
    answer = kind(engine, completion, connection, cut=happens() < faults.reset)
    engine.note_use(completion.model, answer)
    engine.submit(answer)
    if isinstance(answer, StreamedAnswer):
        answer.begin()
    return answer


def _models(connection: "Connection", _: bytes) -> None:
    engine = connection.engine
    names = engine.settings.listed_models if engine.models is None else engine.models.names
    connection.reply(200, replies.JSON, replies.models(names, engine.started))


def _load_adapter(connection: "Connection", body: bytes) -> Answer | None:
    engine, name = connection.engine, _adapter_in(connection, body)
    faults, happens = engine.faults, engine.random.random
    if happens() < faults.load_error:
        raise ApiError(500, "this error was asked for", "InternalServerError")
    if happens() < faults.load_hang:
        return None

    def loaded() -> None:
        said = f"Success: LoRA adapter '{name}' added successfully."
        connection.reply(200, replies.TEXT, said.encode())

    engine.load(name, connection.later(loaded), on_demand=False)
    return None


def _unload_adapter(connection: "Connection", body: bytes) -> None:
    store, name = connection.engine.models, _adapter_in(connection, body)
    assert store is not None
    store.unload(name)
    said = f"Success: LoRA adapter '{name}' removed successfully."
    connection.reply(200, replies.TEXT, said.encode())


def _adapter_in(connection: "Connection", body: bytes) -> str:
    """Read the name of the adapter in a call."""
    if connection.engine.models is None:
        raise ApiError(404, "this server loads no models; start it with --models", "NotFoundError")
    try:
        name = json.loads(body, parse_int=whole_number)["lora_name"]
    except (ValueError, KeyError, TypeError):
        name = None
    if not isinstance(name, str):
        raise ApiError(400, 'give the name of an adapter, as {"lora_name": "sql"}')
    return name


def _health(connection: "Connection", _: bytes) -> None:
    connection.reply(503 if connection.engine.faults.sick else 200, replies.JSON, b"")


def _metrics(connection: "Connection", _: bytes) -> None:
    metrics = connection.engine.metrics
    connection.reply(200, metrics.content_type, metrics.text())


def _faults(connection: "Connection", _: bytes) -> None:
    said = connection.engine.faults.model_dump_json()
    connection.reply(200, replies.JSON, said.encode())


def _set_faults(connection: "Connection", body: bytes) -> None:
    try:
        changes = json.loads(body, parse_int=whole_number)
    except ValueError:
        raise ApiError(400, 'the body is not JSON; give faults as {"error": 0.1}') from None
    engine = connection.engine
    engine.set_faults(engine.faults.with_these(changes))
    _faults(connection, b"")


def _curve(connection: "Connection", _: bytes) -> None:
    curve = connection.engine.curve
    said = json.dumps({"type": curve.type} | curve.parameters())
    connection.reply(200, replies.JSON, said.encode())


def _set_curve(connection: "Connection", body: bytes) -> None:
    connection.engine.set_curve(read_curve(body.decode(errors="replace"), place="the body"))
    _curve(connection, b"")


_ROUTES: dict[str, dict[str, Handler]] = {
    "/v1/chat/completions": {"POST": _chat},
    "/v1/completions": {"POST": _completion},
    "/v1/models": {"GET": _models},
    "/v1/load_lora_adapter": {"POST": _load_adapter},
    "/v1/unload_lora_adapter": {"POST": _unload_adapter},
    "/health": {"GET": _health},
    "/metrics": {"GET": _metrics},
    "/faults": {"GET": _faults, "POST": _set_faults},
    "/curve": {"GET": _curve, "PUT": _set_curve},
}


_MOST_HEADER = 64 * 1024  # bytes
_MOST_BODY = 16 * 1024 * 1024  # bytes; a prompt of 10^6 tokens has about 4 million
_MOST_PIPELINED = 16
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"  # RFC 9110, Section 10.1.1
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s


@final
@dataclass(slots=True)
class Request:
    """One request, as it is read."""

    method: str = ""
    target: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    orca_form: str | None = None
    expects: bool = False
    keep: bool = True
    chunks: bool = True


@final
class Connection(asyncio.Protocol):
    """One client's connection; also the `Wire` of its answers."""

    def __init__(self, engine: Engine, connections: "set[Connection]") -> None:
        self.engine = engine
        self.keep = True
        self.chunks = True
        self.paused = False
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._reading = Request()
        self._header_bytes = 0  # upper bound, of the header that is being read
        self._in_header = True
        self._coming: deque[Request] = deque()
        self._current: Request | None = None
        self._answer: Answer | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._connections.discard(self)
        self._coming.clear()
        self._abandon()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def data_received(self, data: bytes) -> None:
        try:
            self._header_bytes += len(data) if self._in_header else 0
            self._parser.feed_data(data)
            if self._in_header and self._header_bytes > _MOST_HEADER:
                self._refuse(ApiError(431, "the header is too long"))
        except httptools.HttpParserUpgrade:
            self._refuse(ApiError(501, "this server upgrades to no other protocol"))
        except httptools.HttpParserError as error:
            self._refuse(ApiError(400, f"this is not HTTP/1.1: {error}"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._reading = Request()

    def on_url(self, url: bytes) -> None:
        self._reading.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == orca.REQUEST_HEADER:
            self._reading.orca_form = value.decode("latin-1").lower()
        elif name == b"expect":
            self._reading.expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        request = self._reading
        self._in_header = False
        request.method = self._parser.get_method().decode("ascii")
        request.keep = self._parser.should_keep_alive()
        request.chunks = self._parser.get_http_version() == "1.1"
        if request.expects and self._current is None:
            self.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._reading.body += body
        if len(self._reading.body) > _MOST_BODY:
            self._refuse(ApiError(413, f"the body is longer than {_MOST_BODY} bytes"))

    def on_message_complete(self) -> None:
        self._in_header = True  # of the next one
        self._header_bytes = 0
        self._coming.append(self._reading)
        if self._current is None:
            self._serve_next()
        elif len(self._coming) >= _MOST_PIPELINED and self._transport is not None:
            self._transport.pause_reading()

    # What answers call.

    def head(self, status: int, content_type: str, length: int | None, *more: str) -> bytes:
        self.keep = self.keep and (length is not None or self.chunks)
        lines = list(more) if self.keep else [*more, "connection: close"]
        lines += self._load_report(streams=length is None)
        return replies.head(status, content_type, length, self.chunks, *lines)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def answered(self) -> None:
        self._answer = self._current = None
        if not self.keep:
            self.close()
        elif self._coming:
            # Later, so that a long pipeline of short answers does not nest.
            asyncio.get_running_loop().call_soon(self._serve_next)

    def reset(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        self._abandon()

    def close(self) -> None:
        """Close when everything is sent."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # Its own.

    def _load_report(self, streams: bool) -> list[str]:
        settings, sharing = self.engine.settings, self.engine.sharing
        form = self._current.orca_form if self._current else None
        if form not in orca.FORMS:
            form = settings.orca
        tells_all = settings.orca_counts == "all"
        if not tells_all and (streams or self._answer is None):
            return []
        return orca.header_lines(form, sharing.running, sharing.waiting, tells_all)

    def _serve_next(self) -> None:
        if self._current is not None or not self._coming or self._transport is None:
            return
        request = self._current = self._coming.popleft()
        self._transport.resume_reading()
        self.keep, self.chunks = request.keep, request.chunks
        self._answer = route(self, request.method, request.target, bytes(request.body))

    def reply(self, status: int, content_type: str, body: bytes, *more: str) -> None:
        """Answer the current request at once; `more` are header lines."""
        head = self.head(status, content_type, len(body), *more)
        without = self._current is not None and self._current.method == "HEAD"
        self.write(head if without else head + body)
        self.answered()

    def later(self, answer: Callable[[], Answer | None]) -> Callable[[], None]:
        """Return a call that gives the current request its answer, if it still waits for it."""
        request = self._current

        def given() -> None:
            if self._current is request and self._transport is not None:
                begun = answer()
                if self._current is request:
                    self._answer = begun

        return given

    def refuse(self, problem: ApiError) -> None:
        """Answer the current request with an error."""
        allow = [f"allow: {problem.allow}"] if problem.allow else []
        self.reply(problem.status, replies.JSON, replies.error(problem), *allow)

    def _refuse(self, problem: ApiError) -> None:
        """Say what is wrong with what is being read, and close; answers under way are lost."""
        self._coming.clear()
        self._abandon()
        self.keep = False
        self.refuse(problem)

    def _abandon(self) -> None:
        """Nobody waits for the answer any more."""
        answer, self._answer = self._answer, None
        self._current = None
        if answer is not None and not answer.gone:
            self.engine.withdraw(answer)
            self.engine.metrics.aborted.inc()
