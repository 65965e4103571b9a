"""HTTP/2 of the picker, frame by frame: what peers may do, and what ends a connection."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, cast, final

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from isocline.planes.picker.http2 import OK, Call, Connection, Methods, Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW, MORE = 0, 1, 2, 3, 4, 6, 7, 8, 9
END, END_HEADERS, PADDED = 1, 4, 8
HEAD = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/echo"),
    (":authority", "picker"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
PROTOCOL, FLOW, FRAME_SIZE, COMPRESSION, CALM = 1, 3, 6, 9, 11


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def message(data: bytes) -> bytes:
    return b"\x00" + len(data).to_bytes(4) + data


@final
class Echo(Call):
    """Sends each message back, and notes what becomes of its stream."""

    def __init__(self, stream: Stream, notes: list[str]) -> None:
        self._stream = stream
        self._notes = notes

    def message(self, data: bytes) -> None:
        self._stream.send([data])

    def half_closed(self) -> None:
        self._notes.append("half closed")
        self._stream.finish(OK)

    def broken(self) -> None:
        self._notes.append("broken")


@final
class Echoing(Methods):
    def __init__(self) -> None:
        self.paths: list[bytes] = []
        self.notes: list[str] = []

    def call(self, path: bytes, stream: Stream) -> Call | None:
        self.paths.append(path)
        return Echo(stream, self.notes)


@final
class Peer:
    """A client without a network: its bytes go in, frames come out."""

    def __init__(self) -> None:
        self.methods = Echoing()
        self.encoder = Encoder()
        self.closed = False
        self.paused = False
        self._out = b""
        self.connection = Connection(self.methods, set())
        self.connection.connection_made(cast(asyncio.Transport, self))

    # As a transport.

    def write(self, data: bytes) -> None:
        self._out += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    # As a client.

    def say(self, *parts: bytes) -> list[tuple[int, int, int, bytes]]:
        self.connection.data_received(b"".join(parts))
        return list(self.heard())

    def heard(self) -> Iterator[tuple[int, int, int, bytes]]:
        data, self._out = self._out, b""
        while data:
            size = int.from_bytes(data[:3])
            yield data[3], data[4], int.from_bytes(data[5:9]), data[9 : 9 + size]
            data = data[9 + size :]

    def head(self, stream: int, flags: int = END_HEADERS, **more: str) -> bytes:
        return frame(HEADERS, flags, stream, self.encoder.encode([*HEAD, *more.items()]))

    def greeted(self) -> "Peer":
        self.say(PREFACE, frame(SETTINGS, 0, 0))
        return self


def echoed(frames: Iterable[tuple[int, int, int, bytes]], stream: int = 1) -> bytes:
    return b"".join(data for kind, _, number, data in frames if (kind, number) == (DATA, stream))


def fault(frames: Iterable[tuple[int, int, int, bytes]]) -> int:
    (payload,) = (data for kind, _, _, data in frames if kind == GOAWAY)
    return int.from_bytes(payload[4:8])


def test_a_call_has_a_head_messages_and_a_status() -> None:
    peer = Peer().greeted()
    frames = peer.say(peer.head(1), frame(DATA, 0, 1, message(b"one")))
    frames += peer.say(frame(DATA, END, 1, message(b"two")))
    assert echoed(frames) == message(b"one") + message(b"two")
    (first, last) = (data for kind, _, _, data in frames if kind == HEADERS)
    decoder = Decoder()
    assert dict(decoder.decode(first, raw=True))[b":status"] == b"200"
    assert dict(decoder.decode(last, raw=True)) == {b"grpc-status": b"0"}
    assert peer.methods.paths == [b"/echo"]
    assert peer.methods.notes == ["half closed"]


def test_heads_are_read_right_however_hpack_has_them() -> None:
    """Indexed, new, with a table that is full or made smaller."""
    peer = Peer().greeted()
    peer.encoder.header_table_size = 256
    for number in range(1, 2001, 2):
        path = f"/{number % 7}"
        fields = [(name, path if name == ":path" else value) for name, value in HEAD]
        if number % 3 == 0:
            fields.append(("x-new", str(number)))
        if number % 401 == 0:
            peer.encoder.header_table_size = 64 if number % 2 else 256
        peer.say(frame(HEADERS, END_HEADERS | END, number, peer.encoder.encode(fields)))
    assert peer.methods.paths == [b"/%d" % (number % 7) for number in range(1, 2001, 2)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.data())
def test_bytes_may_be_cut_anywhere(sizes: list[int], data: Any) -> None:
    peer = Peer()
    content = b"".join(message(bytes([size]) * size) for size in sizes)
    sent, at = [PREFACE, frame(SETTINGS, 0, 0), peer.head(1)], 0
    while at < len(content):  # in frames that need not be messages
        size = data.draw(st.integers(1, 50))
        sent.append(frame(DATA, 0, 1, content[at : at + size]))
        at += size
    whole, frames = b"".join(sent), []
    while whole:
        cut = data.draw(st.integers(1, 100))
        frames += peer.say(whole[:cut])
        whole = whole[cut:]
    assert echoed(frames) == content


def test_padding_and_continuations_and_unknown_frames_are_skipped() -> None:
    peer = Peer().greeted()
    block = peer.encoder.encode(HEAD)
    frames = peer.say(
        frame(99, 255, 0, b"later"),
        frame(HEADERS, 0, 1, block[:3]),
        frame(MORE, 0, 1, block[3:5]),
        frame(MORE, END_HEADERS, 1, block[5:]),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(DATA, PADDED, 1, b"\x03" + message(b"padded") + bytes(3)),
        frame(PING, 0, 0, b"12345678"),
    )
    assert echoed(frames) == message(b"padded")
    assert (PING, 1, 0, b"12345678") in frames


def test_nothing_is_sent_beyond_the_windows() -> None:
    peer = Peer()
    small = (4).to_bytes(2) + (10).to_bytes(4)
    frames = peer.say(PREFACE, frame(SETTINGS, 0, 0, small), peer.head(1))
    frames += peer.say(frame(DATA, END, 1, message(bytes(30))))
    assert len(echoed(frames)) == 10
    frames += peer.say(frame(WINDOW, 0, 1, (20).to_bytes(4)))
    assert len(echoed(frames)) == 30
    assert frames[-1][0] == DATA  # and no status yet
    frames += peer.say(frame(SETTINGS, 0, 0, (4).to_bytes(2) + (100).to_bytes(4)))
    assert echoed(frames) == message(bytes(30))
    kinds = [kind for kind, _, number, _ in frames if number == 1]
    assert kinds[-1] == HEADERS


def test_a_peer_that_does_not_read_is_not_read_either() -> None:
    peer = Peer().greeted()
    frames = peer.say(peer.head(1))
    part = frame(DATA, 0, 1, message(bytes(16_000)))
    sent = 0
    while not peer.closed:
        frames, sent = peer.say(part), sent + 1
        assert sent < 200
    assert fault(frames) == FLOW
    peer = Peer()
    peer.connection.pause_writing()
    assert peer.paused
    peer.connection.resume_writing()
    assert not peer.paused


def test_a_cancelled_stream_breaks_its_call_and_no_other() -> None:
    peer = Peer().greeted()
    peer.say(peer.head(1), peer.head(3), frame(RST, 0, 1, bytes(4)))
    assert peer.methods.notes == ["broken"]
    frames = peer.say(frame(DATA, 0, 1, message(b"late")), frame(DATA, 0, 3, message(b"other")))
    assert echoed(frames, 3) == message(b"other")
    assert not echoed(frames, 1)


def test_the_end_of_a_connection_breaks_all_calls() -> None:
    peer = Peer().greeted()
    peer.say(peer.head(1), peer.head(3))
    peer.connection.connection_lost(None)
    assert peer.methods.notes == ["broken", "broken"]


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"\x01" + message(b"x")[1:], b"12"), (b"\x00" + (2**31).to_bytes(4), b"8")],
)
def test_a_message_that_cannot_be_read_ends_its_call(data: bytes, status: bytes) -> None:
    peer = Peer().greeted()
    frames = peer.say(peer.head(1), frame(DATA, 0, 1, data))
    (head,) = (payload for kind, _, _, payload in frames if kind == HEADERS)
    fields = dict(Decoder().decode(head, raw=True))
    assert fields[b"grpc-status"] == status
    assert fields[b"grpc-message"]
    assert peer.methods.notes == ["broken"]
    assert not peer.closed


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([b"GET / HTTP/1.1\r\n"], PROTOCOL),
        ([PREFACE, frame(DATA, 0, 0, b"x")], PROTOCOL),
        ([PREFACE, frame(DATA, 0, 9, b"x")], PROTOCOL),
        ([PREFACE, frame(HEADERS, END_HEADERS, 2, b"\x82")], PROTOCOL),
        ([PREFACE, frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff")], COMPRESSION),
        ([PREFACE, frame(HEADERS, 0, 1, b"\x82"), frame(PING, 0, 0, bytes(8))], PROTOCOL),
        ([PREFACE, frame(MORE, END_HEADERS, 1, b"\x82")], PROTOCOL),
        ([PREFACE, frame(HEADERS, 0, 1)] + [frame(MORE, 0, 1, bytes(16_000))] * 5, CALM),
        ([PREFACE, frame(HEADERS, PADDED | END_HEADERS, 1, b"\x05\x82")], PROTOCOL),
        ([PREFACE, b"\xff\xff\xff" + bytes(6)], FRAME_SIZE),
        ([PREFACE, frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff")], FLOW),
        ([PREFACE, frame(WINDOW, 0, 0, b"\x01")], FRAME_SIZE),
        ([PREFACE, frame(SETTINGS, 0, 0, b"\x00\x04\xff\xff\xff\xff")], FLOW),
    ],
)
def test_a_fault_of_the_peer_ends_the_connection(parts: list[bytes], code: int) -> None:
    peer = Peer()
    frames = peer.say(*parts)
    assert fault(frames) == code
    assert peer.closed


def test_data_after_its_end_is_a_fault() -> None:
    peer = Peer().greeted()
    small = (4).to_bytes(2) + (0).to_bytes(4)  # so that the call has not ended
    peer.say(frame(SETTINGS, 0, 0, small), peer.head(1), frame(DATA, END, 1, message(b"x")))
    assert fault(peer.say(frame(DATA, 0, 1, b"more"))) == PROTOCOL
    assert peer.methods.notes == ["half closed"]


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    peer = Peer().greeted()
    peer.say(peer.head(1), data)
    peer.say(data)
