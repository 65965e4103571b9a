"""The model of a JSON body, however it is cut, against Python's own reader."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.http.json_model import JsonModel, model_of
from isocline.gateway.http.unreadable import LONGEST_MODEL, UnreadableError

KEYS = st.sampled_from(["model", "Model", "mode", "a", '"', "{", "\\", "m\u00f6del"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["model", '"model":"x"', "\\", "\\u", "]}"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=16,
)
CUTS = st.lists(st.integers(0, 400), max_size=8)


def parts(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(body)) for cut in cuts})
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def model_in(*pieces: bytes) -> str:
    reader = JsonModel()
    for piece in pieces:
        reader.feed(piece)
    return reader.end()


def read(*pieces: bytes) -> str | None:
    """The model, or None where it cannot be read."""
    try:
        return model_in(*pieces)
    except UnreadableError:
        return None


def at_once(body: bytes) -> str | None:
    try:
        return model_of(body)
    except UnreadableError:
        return None


def known(body: bytes) -> str | None:
    """The same by Python's reader."""
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_int=float)
    except ValueError:
        return None
    model = document.get("model") if isinstance(document, dict) else None
    return model if isinstance(model, str) else None


def written(members: list[tuple[str, Any]], ascii_only: bool, indent: int | None) -> bytes:
    """An object whose keys may stand twice."""
    texts = [
        f"{json.dumps(key, ensure_ascii=ascii_only)}:"
        f"{json.dumps(value, ensure_ascii=ascii_only, indent=indent)}"
        for key, value in members
    ]
    return ("{" + ", ".join(texts) + "}").encode()


@given(st.lists(st.tuples(KEYS, JSON | st.just("name")), max_size=6), st.booleans(), CUTS)
def test_every_document_has_the_model_that_python_reads(
    members: list[tuple[str, Any]], ascii_only: bool, cuts: list[int]
) -> None:
    for indent in (None, 1):
        body = written(members, ascii_only, indent)
        assert read(*parts(body, cuts)) == at_once(body) == known(body)


@given(JSON, CUTS)
def test_a_document_of_any_kind_is_read_to_its_end(document: Any, cuts: list[int]) -> None:
    body = json.dumps({"x": document, "model": "m", "z": document}).encode()
    assert read(*parts(body, cuts)) == "m"
    assert read(*(body[i : i + 1] for i in range(len(body)))) == "m"


ALPHABET = [
    *'{}[]:,"\\ \n-+.eE019',
    "model",
    "true",
    "nul",
    "NaN",
    "-Infinity",
    "\\u00e9",
    '"model":"x"',
]


@given(st.lists(st.sampled_from(ALPHABET), max_size=14), st.booleans(), CUTS)
def test_what_python_refuses_is_refused(words: list[str], wrapped: bool, cuts: list[int]) -> None:
    text = "".join(words)
    body = (f'{{"model":"m","x":{text}}}' if wrapped else text).encode()
    assert read(*parts(body, cuts)) == at_once(body) == known(body)


@given(
    st.lists(st.tuples(KEYS, JSON), max_size=5), st.integers(0, 400), st.binary(max_size=3), CUTS
)
def test_a_spoilt_document_is_refused_where_python_refuses_it(
    members: list[tuple[str, Any]], at: int, noise: bytes, cuts: list[int]
) -> None:
    body = written([*members, ("model", "m")], ascii_only=False, indent=None)
    spoilt = body[: at % len(body)] + noise + body[at % len(body) + 1 :]
    try:
        expected = known(spoilt)
    except UnicodeDecodeError:
        expected = None
    assert read(*parts(spoilt, cuts)) == at_once(spoilt) == expected


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model":"a","model":"b"}', "b"),
        (b'{"model":3,"model":"b"}', "b"),
        (b'{"model":"b","model":3}', None),
        (b'{"mod\\u0065l":"a"}', "a"),
        (b'{"\\u006d\\u006f\\u0064\\u0065\\u006c":"a"}', "a"),
        (b'{"model":"a\\u0000\\ud83d\\ude00"}', "a\0\U0001f600"),
        (b'\xef\xbb\xbf{"model":"a"}', "a"),
        (b'{"model":"\xff"}', None),
        (b'{"model":"m","x":"\xed\xa0\x80"}', None),
        ('{"model":"m"}'.encode("utf-16"), None),
        (b'{"model":"m","x":' + b"7" * 6000 + b"}", "m"),
        (b'{"model":"m","x":-' + b"7" * 6000 + b".5e" + b"1" * 6000 + b"}", "m"),
        (b'{"model":"m","x":[NaN,Infinity,-Infinity]}', "m"),
        (b'{"model":"m","x":' + b"[" * 900 + b"]" * 900 + b"}", "m"),
        (b'{"model":"m","x":' + b"[" * 100_000, None),
        (b'{"model":"m","x":' + b'{"a":' * 100_000, None),
        (b'{"model":"m"} {}', None),
        (b'{"model":"m","x":"\t"}', None),
        (b'[{"model":"m"}]', None),
        (b'["model","m"]', None),
        (b'"model"', None),
        (b"12", None),
        (b'{"model":null}', None),
        (b'{"x":{"model":"m"}}', None),
        (b'{"model":"' + b"m" * LONGEST_MODEL + b'"}', "m" * LONGEST_MODEL),
        (b'{"model":"' + b"m" * LONGEST_MODEL + b'm"}', None),
        (b'{"model":"' + b"m" * 900_000 + b'","model":"b"}', "b"),
    ],
)
def test_documents_one_by_one(body: bytes, model: str | None) -> None:
    assert at_once(body) == model
    for size in (1, 7, 65_536):
        assert (
            read(*(body[i : i + size] for i in range(0, min(len(body), 2_000_000), size))) == model
        )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b'{"model":"m"', "the body is not JSON: it ends too early"),
        (b'{"model":"m",}', "the body is not JSON: unexpected character at position 13"),
        (b'{"x":00}', "the body is not JSON: unexpected character at position 5"),
        (b"\xff", "the body is not JSON: it is not UTF-8"),
        (b"[" * 2000, "the body is nested more than 1000 levels deep"),
        (b'{"model":[1]}', "`model` is not text"),
        (b"{}", "the body is not an object with a field `model`"),
        (b'{"model":"' + b"m" * 900_000 + b'"}', "`model` is longer than 4096 characters"),
    ],
)
def test_what_is_wrong_is_said_without_repeating_it(body: bytes, says: str) -> None:
    for size in (1, len(body) or 1):
        with pytest.raises(UnreadableError) as caught:
            model_in(*(body[i : i + size] for i in range(0, len(body), size)))
        assert (caught.value.reason, caught.value.status) == (says, 400)


@pytest.mark.parametrize("filler", [b"7", b" ", b"a", b"\\n"])
def test_a_long_token_in_small_parts_is_not_read_again_and_again(filler: bytes) -> None:
    """A million parts: were what came before read with each, it would be 10^12 characters."""
    reader = JsonModel()
    reader.feed(b'{"model":"m","x":' + (b'"' if filler in (b"a", b"\\n") else b""))
    for _ in range(300_000):
        reader.feed(filler)
    reader.feed(b"1}" if filler in (b"7", b" ") else b'"}')
    assert reader.end() == "m"
