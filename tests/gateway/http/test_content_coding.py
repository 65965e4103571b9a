"""Content codings: decoded in parts, within limits."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.http.content_coding import decoder_for
from isocline.gateway.http.unreadable import UnreadableError

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
MANY = 2**40


def decoded(coding: bytes, body: bytes, size: int = 65_536, most: int = MANY) -> bytes:
    decoder = decoder_for(coding, most)
    assert decoder is not None
    out = b""
    for i in range(0, len(body), size):
        for piece in decoder.feed(body[i : i + size]):
            assert len(piece) <= 262_144
            out += piece
    decoder.end()
    return out


@pytest.mark.parametrize("coding", CODINGS)
@given(st.lists(st.binary(max_size=300), max_size=3), st.integers(1, 400))
def test_what_was_encoded_comes_out(coding: str, members: list[bytes], size: int) -> None:
    if coding == "deflate":
        members = members[:1]  # it has no way to add another
    body = b"".join(map(CODINGS[coding], members))
    assert decoded(coding.upper().encode(), body, size) == b"".join(members)


@pytest.mark.parametrize("coding", CODINGS)
def test_much_comes_out_in_pieces(coding: str) -> None:
    text = b"abcdefgh" * 2**20
    assert decoded(coding.encode(), CODINGS[coding](text)) == text


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_cut_short_or_spoilt_is_malformed(coding: str) -> None:
    body = CODINGS[coding](b"abc" * 100)
    with pytest.raises(UnreadableError, match="ends too early") as caught:
        decoded(coding.encode(), body[:-1])
    assert caught.value.status == 400
    for spoilt in (b"{}" * 20, body[:2] + b"\xff\xff" + body[4:], body + b"garbage"):
        with pytest.raises(UnreadableError):
            decoded(coding.encode(), spoilt)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_refused_before_it_takes_memory(coding: str) -> None:
    zeros = bytes(2**26)
    bomb = CODINGS[coding](zeros)
    if coding == "zstd":
        bomb = zstd.compress(zeros, options={zstd.CompressionParameter.window_log: 20})
    assert len(bomb) < 70_000
    decoder = decoder_for(coding.encode(), MANY)
    assert decoder is not None
    tracemalloc.start()
    with pytest.raises(UnreadableError, match="100 times as long") as caught:
        sum(map(len, decoder.feed(bomb)))
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert caught.value.status == 413
    with pytest.raises(UnreadableError, match="longer than 1000 bytes") as caught:
        decoded(coding.encode(), CODINGS[coding](bytes(1001)), most=1000)
    assert caught.value.status == 413
    assert decoded(coding.encode(), CODINGS[coding](bytes(1000)), most=1000) == bytes(1000)


def test_a_window_that_takes_much_memory_is_refused() -> None:
    body = zstd.compress(bytes(2**25), options={zstd.CompressionParameter.window_log: 25})
    with pytest.raises(UnreadableError):
        decoded(b"zstd", body)


@pytest.mark.parametrize("coding", [b"br", b"gzip, zstd", b"compress", b"gzip,"])
def test_an_unknown_coding_names_those_that_are_known(coding: bytes) -> None:
    with pytest.raises(UnreadableError, match="gzip, deflate, zstd") as caught:
        decoder_for(coding, MANY)
    assert caught.value.status == 415
    assert decoder_for(b" identity", MANY) is decoder_for(b"", MANY) is None
