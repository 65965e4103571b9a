"""Messages between processes: whole however they were cut, bounded, and ended by an end."""

import asyncio
import os
import pickle
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from isocline.subprocesses.descriptors import DescriptorError
from isocline.subprocesses.framing import (
    LONGEST,
    Channel,
    FramingError,
    Unpacker,
    packed,
    received,
)

MESSAGES = [("a", 1), b"x" * 200_000, None]
# What a task may write into a connection that is not its own.
GARBAGE = [b"a line of text\n", struct.pack("<Q", LONGEST + 1), struct.pack("<Q", 4) + b"text"]


@contextmanager
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with theirs, closing(Channel(ours)) as channel:
        yield channel, theirs


async def awaited(data: bytes) -> list[Any]:
    """All messages in `data`, after which the other end is closed, by the asyncio reader."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found = []
    while not reader.at_eof():
        found.append(await received(reader))
    return found


@given(st.lists(st.binary(max_size=40) | st.integers(), max_size=6), st.integers(1, 60))
def test_messages_come_whole_however_they_were_cut(messages: list[Any], cut: int) -> None:
    data = b"".join(map(packed, messages))
    unpacker = Unpacker()
    heard = [m for at in range(0, len(data), cut) for m in unpacker.feed(data[at : at + cut])]
    assert heard == messages


def test_all_readers_read_the_same() -> None:
    data = b"".join(map(packed, MESSAGES))
    assert list(Unpacker().feed(data)) == MESSAGES
    assert uvloop.run(awaited(data)) == MESSAGES
    with pair() as (channel, other), ThreadPoolExecutor(1) as thread:
        sent = thread.submit(other.sendall, data)  # more than a socket holds
        assert [channel.receive() for _ in MESSAGES] == MESSAGES
        sent.result()


def test_messages_of_several_threads_do_not_mix() -> None:
    ours, theirs = socket.socketpair()
    with closing(Channel(ours)) as one, closing(Channel(theirs)) as other:
        messages = [bytes([number]) * 100_000 for number in range(8)]
        with ThreadPoolExecutor(8) as threads:
            sent = [threads.submit(one.send, message) for message in messages]
            assert sorted(other.receive() for _ in messages) == messages
            assert [done.result() for done in sent] == [None] * 8


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_an_error_at_once_for_every_reader(garbage: bytes) -> None:
    data = packed(1) + garbage
    unpacker = Unpacker()
    messages = unpacker.feed(data)
    assert next(messages) == 1
    with pytest.raises(FramingError):
        next(messages)
    with pytest.raises(FramingError):
        uvloop.run(awaited(data))
    with pair() as (channel, other):
        other.sendall(data)
        assert channel.receive() == 1
        with pytest.raises(FramingError):
            channel.receive()


@pytest.mark.parametrize("size", [0, 3, 8, 20])
def test_an_end_in_the_midst_of_a_message_is_an_end(size: int) -> None:
    data = packed("a message of some length")[:size]
    with pair() as (channel, other):
        other.sendall(packed(1) + data)
        other.close()
        assert list(channel) == [1]
        with pytest.raises(EOFError):
            channel.receive()
    if size:
        with pytest.raises(EOFError):
            uvloop.run(awaited(data))


def test_a_channel_to_an_end_that_is_closed_says_so() -> None:
    with pair() as (channel, other):
        other.close()
        with pytest.raises(ConnectionError):
            channel.send(1)


def test_nothing_is_written_to_a_file_that_has_got_the_channel_s_number(tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    ours, theirs = socket.socketpair()
    channel, number = Channel(ours), ours.fileno()
    os.close(number)
    with pytest.raises(DescriptorError):
        channel.send(1)
    os.dup2(file, number)
    with pytest.raises(DescriptorError):
        channel.send(1)
    with pytest.raises(DescriptorError):
        channel.receive()
    one, other = socket.socketpair()
    os.dup2(one.fileno(), number)  # a socket, which would take it
    with pytest.raises(DescriptorError):
        channel.send(1)
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(1)
    assert (tmp_path / "file").read_bytes() == b""
    for end in (one, other, theirs, ours):
        end.close()
    os.close(file)


def test_messages_are_pickles_after_their_length() -> None:
    data = packed(MESSAGES)
    assert struct.unpack("<Q", data[:8]) == (len(data) - 8,)
    assert pickle.loads(data[8:]) == MESSAGES
