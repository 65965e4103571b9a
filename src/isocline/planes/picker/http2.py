"""HTTP/2 for a gRPC server (RFC 9113), on asyncio's protocols: frames, streams, flow control.

Only what gRPC over HTTP/2 needs: no push, no priorities, and heads of responses that are constants.
*Rejected*: grpc.aio, which takes 1000 us of CPU for a request of four messages each way beside an
Envoy that takes 400; this takes 200, the picker's own work included. The state of HPACK is a
library's (`hpack`), which is asked only for heads that are new: a gateway repeats the same one.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import cast, final
from urllib.parse import quote

from hpack import Decoder
from hpack.exceptions import HPACKError

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _MORE = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 32
_INITIAL_WINDOW, _MAX_FRAME = 4, 5  # identifiers of settings
# Error codes (RFC 9113, Section 7).
_NO_ERROR, _PROTOCOL, _FLOW, _FRAME_SIZE, _COMPRESSION, _CALM = 0, 1, 3, 6, 9, 11

_DEFAULT_WINDOW, _LARGEST_WINDOW = 65_535, 2**31 - 1
_FRAME = 16_384  # bytes of a frame, which we do not raise
_WINDOW_OF_STREAM = 2**20  # bytes that a stream may send before it is read
_WINDOW_OF_ALL = 2**24  # the same for a connection
_WAITING = 2**18  # bytes of answers that wait for a peer, from which on its stream is not read
_HEAD = 65_536  # bytes of a head, as it is compressed, in all of its frames
_MESSAGE = 2**22  # bytes of a message, as gRPC's other servers have it
_HEADS = 1_000  # heads kept
_PREFIX = 5  # bytes before a message
_MESSAGE_HEAD = Struct(">BI")  # whether it is compressed, and its length
_FRAME_HEAD = Struct(">HBBBI")  # length in two parts, type, flags, stream

OK, INVALID, EXHAUSTED, NOT_FOUND, UNIMPLEMENTED = 0, 3, 8, 5, 12
"""Status codes of gRPC."""


def _literal(name: bytes, value: bytes) -> bytes:
    """Encode a field that is not to be indexed (RFC 7541, Section 6.2.2); both are short."""
    return b"\x00%c%b%c%b" % (len(name), name, len(value), value)


_CONTENT_TYPE = _literal(b"content-type", b"application/grpc")
_RESPONSE = b"\x88" + _CONTENT_TYPE  # `:status: 200` is entry 8 of the static table
_LONGEST_REASON = 100  # characters, so that its length is one byte of HPACK after quoting


@final
class FaultError(Exception):
    """A fault of the peer that ends the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Call(ABC):
    """One call of a method, as its stream tells of it."""

    @abstractmethod
    def message(self, data: bytes) -> None:
        """Handle a message of the client."""

    @abstractmethod
    def half_closed(self) -> None:
        """Handle that the client sends no more; it still reads."""

    @abstractmethod
    def broken(self) -> None:
        """Handle the end of the stream: nothing can be sent any more."""


class Methods(ABC):
    """Methods of a server."""

    @abstractmethod
    def call(self, path: bytes, stream: "Stream") -> Call | None:
        """Begin a call; None if it was ended at once, as there is no such method."""


@final
class Stream:
    """One stream of a connection.

    Attributes:
        number: Its number.
        call: The call that it carries; None once it has ended.
    """

    __slots__ = (
        "_answered",
        "_batch",
        "_buffer",
        "_connection",
        "_credit",
        "_pending",
        "_trailers",
        "_unread",
        "call",
        "half_closed",
        "number",
        "window",
    )

    def __init__(self, connection: "Connection", number: int, window: int) -> None:
        self._connection = connection
        self.number = number
        self.window = window  # bytes that may be sent
        self.call: Call | None = None
        self.half_closed = False
        self._credit = _WINDOW_OF_STREAM  # bytes that the peer may send
        self._unread = 0  # bytes read since the last word to the peer
        self._buffer = bytearray()  # the start of a message
        self._batch: list[bytes] = []  # to be sent with all that comes of the same bytes
        self._pending = bytearray()  # to be sent once there is room
        self._answered = False
        self._trailers: bytes | None = None

    # Calls of methods

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages."""
        if self._trailers is not None:
            return
        connection, batch = self._connection, self._batch
        if not batch and connection.reading:
            connection.touched.append(self)
        for it in messages:
            batch += (_MESSAGE_HEAD.pack(0, len(it)), it)
        if not connection.reading:
            self.emit()

    def finish(self, status: int, reason: str = "") -> None:
        """End the call with a status, after all that waits to be sent."""
        if self._trailers is not None:
            return
        self.emit()
        block = _literal(b"grpc-status", b"%d" % status)
        if reason:
            quoted = quote(reason[:_LONGEST_REASON], safe=" !#$&'()*+,/:;<=>?@[]^`{|}~\"")
            block += _literal(b"grpc-message", quoted.encode()[:_LONGEST_REASON])
        self._trailers = block if self._answered else _RESPONSE + block
        self.call = None
        self.pump()

    # Calls of the connection

    def emit(self) -> None:
        """Send the batch, or let it wait for a window."""
        if not self._batch:
            return
        data = b"".join(self._batch)
        self._batch.clear()
        connection = self._connection
        if not self._answered:
            self._answered = True
            connection.frame(_HEADERS, _END_HEADERS, self.number, _RESPONSE)
        if not self._pending and len(data) <= min(_FRAME, self.window, connection.window):
            self.window -= len(data)
            connection.window -= len(data)
            connection.frame(_DATA, 0, self.number, data)
        else:
            self._pending += data
            self.pump()

    def pump(self) -> None:
        """Send what waits, as far as the windows go."""
        connection, pending = self._connection, self._pending
        while pending:
            size = min(len(pending), _FRAME, self.window, connection.window)
            if size <= 0:
                connection.blocked[self.number] = self
                return
            connection.frame(_DATA, 0, self.number, bytes(pending[:size]))
            self.window -= size
            connection.window -= size
            del pending[:size]
        if self._trailers is not None:
            flags = _END_HEADERS | _END_STREAM
            connection.frame(_HEADERS, flags, self.number, self._trailers)
            if not self.half_closed:  # the peer need not send the rest (RFC 9113, Section 8.1)
                connection.frame(_RST, 0, self.number, _NO_ERROR.to_bytes(4))
            connection.forget(self)
        elif self._unread:
            self._replenish()

    def received(self, data: bytes, size: int) -> None:
        """Take a part of the peer's messages, which was `size` bytes with its padding."""
        self._credit -= size
        self._unread += size
        if self._credit < 0:
            raise FaultError(_FLOW, "more data on a stream than its window")
        if self._buffer:
            self._buffer += data
            del self._buffer[: self._take(self._buffer)]
        else:
            at = self._take(data)
            if at < len(data):
                self._buffer += data[at:]
        if self._unread >= _WINDOW_OF_STREAM // 2:
            self._replenish()

    def _take(self, data: bytes | bytearray) -> int:
        """Pass whole messages on; returns their length."""
        at, length = 0, len(data)
        while length - at >= _PREFIX and self.call is not None:
            compressed, size = _MESSAGE_HEAD.unpack_from(data, at)
            if compressed:
                self._refuse(UNIMPLEMENTED, "compressed messages; set no compression")
            elif size > _MESSAGE:
                self._refuse(EXHAUSTED, f"a message is longer than {_MESSAGE} bytes")
            elif length - at < _PREFIX + size:
                return at
            else:
                end = at + _PREFIX + size
                self.call.message(bytes(data[at + _PREFIX : end]))
                at = end
        return at if self.call is not None else length

    def _refuse(self, status: int, reason: str) -> None:
        call = self.call
        self.finish(status, reason)
        if call is not None:
            call.broken()

    def _replenish(self) -> None:
        """Let the peer send more, unless it does not read."""
        if self._unread >= _WINDOW_OF_STREAM // 2 and len(self._pending) < _WAITING:
            self._connection.frame(_WINDOW, 0, self.number, self._unread.to_bytes(4))
            self._credit += self._unread
            self._unread = 0


@final
class Connection(asyncio.Protocol):
    """One connection of a client.

    Attributes:
        window: Bytes that may be sent on all streams together.
        reading: Whether frames are at work, whose answers go out together.
        touched: Streams with such answers.
        blocked: Streams that wait for a window.
    """

    def __init__(self, methods: Methods, connections: set["Connection"]) -> None:
        """Initialise; it is among `connections` while it is open."""
        self._methods = methods
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._greeted = False
        self._streams: dict[int, Stream] = {}
        self._last = 0  # number of the last stream
        self._out: list[bytes] = []
        self.reading = False
        self.touched: list[Stream] = []
        self.window = _DEFAULT_WINDOW
        self.blocked: dict[int, Stream] = {}
        self._initial_window = _DEFAULT_WINDOW
        self._unread = 0
        self._head: tuple[int, int, bytearray] | None = None  # stream, flags, the head so far
        self._decoder = Decoder()
        self._heads: dict[bytes, bytes] = {}  # method's path by a head

    # Calls of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        window = b"%b%b" % (_INITIAL_WINDOW.to_bytes(2), _WINDOW_OF_STREAM.to_bytes(4))
        self.frame(_SETTINGS, 0, 0, window)
        self.frame(_WINDOW, 0, 0, (_WINDOW_OF_ALL - _DEFAULT_WINDOW).to_bytes(4))

    def data_received(self, data: bytes) -> None:
        self.reading = True
        try:
            self._read(self._rest + data if self._rest else data)
        except FaultError as error:
            self._give_up(error.code, str(error))
        finally:
            for stream in self.touched:
                stream.emit()
            self.touched.clear()
            self.reading = False
            self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._connections.discard(self)
        self._transport = None
        self._break()

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    # Calls of streams and of the server

    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Send a frame, with others that come of the same bytes."""
        size = len(payload)
        self._out += (_FRAME_HEAD.pack(size >> 8, size & 255, kind, flags, stream), payload)
        if not self.reading:
            self._flush()

    def forget(self, stream: Stream) -> None:
        """Forget a stream that has ended."""
        self._streams.pop(stream.number, None)
        self.blocked.pop(stream.number, None)

    def close(self) -> None:
        """End the connection, and all calls on it."""
        self._give_up(_NO_ERROR, "the server stops")

    # Frames

    def _read(self, data: bytes) -> None:
        at, length = 0, len(data)
        if not self._greeted:
            if not data.startswith(_PREFACE[: len(data)]):
                raise FaultError(_PROTOCOL, "this is not HTTP/2; a gateway must speak gRPC here")
            if length < len(_PREFACE):
                self._rest = data
                return
            self._greeted, at = True, len(_PREFACE)
        while length - at >= 9:
            high, low, kind, flags, number = _FRAME_HEAD.unpack_from(data, at)
            size = high << 8 | low
            if size > _FRAME:
                raise FaultError(_FRAME_SIZE, f"a frame of {size} bytes")
            start, at = at + 9, at + 9 + size
            if at > length:
                at = start - 9
                break
            number &= 0x7FFFFFFF
            if kind == _DATA and self._head is None:
                self._take_data(flags, number, data[start:at])
            else:
                self._take(kind, flags, number, data[start:at])
        self._rest = data[at:]

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._head is not None and (kind != _MORE or number != self._head[0]):
            raise FaultError(_PROTOCOL, "a head is not complete")
        if kind == _HEADERS:
            head = _unpadded(payload, flags)
            self._take_head(number, flags, head[5:] if flags & _PRIORITY else head)
        elif kind == _MORE:
            self._take_more(flags, payload)
        elif kind == _WINDOW:
            self._take_window(number, payload)
        elif kind == _RST:
            self._take_reset(number)
        elif kind == _SETTINGS:
            self._take_settings(flags, payload)
        elif kind == _PING and not flags & _ACK:
            self.frame(_PING, _ACK, 0, payload)

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._unread += size
        if self._unread >= _WINDOW_OF_ALL // 2:
            self.frame(_WINDOW, 0, 0, self._unread.to_bytes(4))
            self._unread = 0
        stream = self._streams.get(number)
        if stream is None:
            if not number or number > self._last:
                raise FaultError(_PROTOCOL, "data on a stream that has not begun")
            return  # that has ended here, which the peer did not know yet
        if stream.half_closed:
            raise FaultError(_PROTOCOL, "data after the end of a stream")
        stream.received(_unpadded(payload, flags) if flags & _PADDED else payload, size)
        if flags & _END_STREAM:
            self._half_close(stream)

    def _take_head(self, number: int, flags: int, block: bytes) -> None:
        if not number & 1:
            raise FaultError(_PROTOCOL, "a head on a stream that is not the client's")
        if flags & _END_HEADERS:
            self._begin(number, flags, block)
        else:
            self._head = number, flags, bytearray(block)

    def _take_more(self, flags: int, payload: bytes) -> None:
        if self._head is None:
            raise FaultError(_PROTOCOL, "the rest of no head")
        number, first, block = self._head
        block += payload
        if len(block) > _HEAD:
            raise FaultError(_CALM, f"a head of more than {_HEAD} bytes")
        if flags & _END_HEADERS:
            self._head = None
            self._begin(number, first, bytes(block))

    def _take_window(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FaultError(_FRAME_SIZE, "a window of another size")
        more = int.from_bytes(payload) & _LARGEST_WINDOW
        if number:
            stream = self._streams.get(number)
            if stream is not None:
                stream.window += more
                self._pump([stream])
            return
        self.window += more
        if self.window > _LARGEST_WINDOW:
            raise FaultError(_FLOW, "a window beyond the largest")
        self._pump(list(self.blocked.values()))

    def _take_reset(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            self.forget(stream)
            call, stream.call = stream.call, None
            if call is not None:
                call.broken()

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & _ACK:
            return
        for at in range(0, len(payload) - 5, 6):
            if int.from_bytes(payload[at : at + 2]) == _INITIAL_WINDOW:
                window = int.from_bytes(payload[at + 2 : at + 6])
                if window > _LARGEST_WINDOW:
                    raise FaultError(_FLOW, "a window beyond the largest")
                change, self._initial_window = window - self._initial_window, window
                for stream in self._streams.values():
                    stream.window += change
                self._pump(list(self.blocked.values()))
        self.frame(_SETTINGS, _ACK, 0, b"")

    def _pump(self, streams: Iterable[Stream]) -> None:
        for stream in streams:
            self.blocked.pop(stream.number, None)
            stream.pump()

    # Streams

    def _begin(self, number: int, flags: int, block: bytes) -> None:
        path = self._path(block)
        stream = self._streams.get(number)
        if stream is not None:  # trailers of a request, of which gRPC has none
            self._half_close(stream)
            return
        if number <= self._last:
            return  # trailers on a stream that has ended here
        self._last = number
        stream = Stream(self, number, self._initial_window)
        self._streams[number] = stream
        call = self._methods.call(path, stream)
        if call is not None:
            stream.call = call
            if flags & _END_STREAM:
                self._half_close(stream)

    def _path(self, block: bytes) -> bytes:
        """Path of a head; what is the same under the same state of HPACK is read once."""
        known = self._heads.get(block)
        if known is not None:
            return known
        entries = self._decoder.header_table.dynamic_entries
        before, size = entries[0] if entries else None, len(entries)
        try:
            fields = dict(self._decoder.decode(block, raw=True))
        except HPACKError as error:
            raise FaultError(_COMPRESSION, "a head that cannot be read") from error
        entries = self._decoder.header_table.dynamic_entries
        if len(entries) != size or (entries and entries[0] is not before):
            self._heads.clear()
            return bytes(fields.get(b":path", b""))
        if len(self._heads) >= _HEADS:
            self._heads.clear()
        path = self._heads[block] = bytes(fields.get(b":path", b""))
        return path

    def _half_close(self, stream: Stream) -> None:
        stream.half_closed = True
        if stream.call is not None:
            stream.call.half_closed()

    def _give_up(self, code: int, reason: str) -> None:
        if self._transport is None:
            return
        last = self._last.to_bytes(4)
        self.frame(_GOAWAY, 0, 0, b"%b%b%b" % (last, code.to_bytes(4), reason.encode()))
        self._flush()
        if self._transport is not None:
            self._transport.close()
        self._break()

    def _break(self) -> None:
        streams, self._streams = list(self._streams.values()), {}
        self.blocked.clear()
        for stream in streams:
            call, stream.call = stream.call, None
            if call is not None:
                call.broken()

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()


def _unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise FaultError(_PROTOCOL, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]
