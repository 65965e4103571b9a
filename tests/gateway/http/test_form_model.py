"""The model of a form, however it is cut, against Python's own MIME reader."""

import email
import email.policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.http.form_model import FormModel, boundary_of
from isocline.gateway.http.unreadable import LONGEST_MODEL, UnreadableError

NAMES = st.sampled_from(["model", "file", "prompt", "Model", "x;name=model"])
CONTENTS = st.binary(max_size=40) | st.sampled_from(
    [b"--b", b"\r\n--", b"\r\n--c\r\n", b"\r\n\r\n--", b"model", b"-" * 80, b"\r\n-"]
)


def part(name: str, content: bytes, *fields: str, more: str = "") -> bytes:
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"{more}', *fields])
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def model_in(body: bytes, cuts: list[int]) -> str:
    reader = FormModel(b"b")
    places = sorted({min(cut, len(body)) for cut in cuts})
    for a, b in zip([0, *places], [*places, len(body)], strict=True):
        reader.feed(body[a:b])
    return reader.end()


def by_email(body: bytes) -> list[bytes]:
    """Contents of the parts named `model`, by Python's MIME reader."""
    head = b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    assert message.is_multipart()
    found: list[Any] = [
        it.get_payload(decode=True)
        for it in message.iter_parts()
        if it.get_param("name", header="content-disposition") == "model"
    ]
    return found


@given(
    st.lists(st.tuples(NAMES, CONTENTS.filter(lambda it: b"\n--b" not in it)), max_size=5),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_every_form_has_the_model_that_python_reads(
    fields: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    parts = [part(name, content) for name, content in fields if not content.startswith(b"--b")]
    body = form(*parts)
    # A part's content may only be told apart by its line ends, which Python's reader changes.
    found = [
        it
        for it in (content for name, content in fields if name == "model")
        if not it.startswith(b"--b")
    ]
    if parts and not any(b"\n" in it or b"\r" in it for _, it in fields):
        assert by_email(body) == found
    try:
        model = model_in(body, cuts)
    except UnreadableError as error:
        assert len(found) != 1 or b"model` is not UTF-8" in error.reason.encode()  # noqa: PT017
    else:
        assert [model.encode()] == found


def test_the_model_may_follow_a_file_and_come_byte_by_byte() -> None:
    sound = bytes(range(256)) * 40
    body = form(
        part("file", sound, "Content-Type: audio/wav", more='; filename="a; name=\\"model\\""'),
        part("model", "whisper-\u00e9".encode()),
        part("language", b"en"),
    )
    assert model_in(body, list(range(len(body)))) == "whisper-\u00e9"
    assert model_in(body + b"epilogue", []) == "whisper-\u00e9"


TWICE = form(part("model", b"a"), part("model", b"b"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "it ends before its last boundary"),
        (form(), "the form has no field `model`"),
        (form(part("file", b"x")), "the form has no field `model`"),
        (TWICE, "the form has more than one field `model`"),
        (TWICE[:-6], "the form has more than one field `model`"),
        (part("model", b"a"), "it ends before its last boundary"),
        (part("model", b"a") + b"--b-", "it ends before its last boundary"),
        (b"x\r\n" + form(part("model", b"a")), "it does not begin with its boundary"),
        (b"x" * 200, "it does not begin with its boundary"),
        (b"{}", "it ends before its last boundary"),
        (form(part("model", b"a")).replace(b"\r\n", b"\n"), "a boundary does not end its line"),
        (b"--bc\r\n" + form(part("model", b"a")), "a boundary does not end its line"),
        (b"--b\r\n\r\na\r\n--b--", "no Content-Disposition: form-data"),
        (form(part("model", b"a", "Content-Transfer-Encoding: base64")), "a transfer encoding"),
        (form(part("model", b"a", more='; filename="x"')), "`model` is a file"),
        (form(part("x", b"a", more="; name*=utf-8''model")), "in an extended notation"),
        (form(part("x", b"a", more="; name=model")), "a parameter is given twice"),
        (form(part("x", b"a", more='; file="')), "a parameter is malformed"),
        (form(part("x", b"a", "no colon")), "a malformed header field"),
        (form(part("x", b"a", "X: a\n--b")), "a malformed header field"),
        (form(part("x", b"a", "Content-Disposition: form-data")), "a header field twice"),
        (form(part("x", b"a", "X: " + "y" * 20_000)), "head is longer than 16384 bytes"),
        (form(part("model", b"m" * 900_000)), "`model` is longer than 4096 characters"),
        (form(part("model", b"m" * (LONGEST_MODEL + 1))), "`model` is longer than 4096"),
        (form(part("model", b"\xff")), "the field `model` is not UTF-8"),
    ],
)
def test_a_form_that_cannot_be_read_in_one_way_is_refused(body: bytes, says: str) -> None:
    for size in (1, 1000, len(body)):
        with pytest.raises(UnreadableError) as caught:
            model_in(body, list(range(size, len(body), size or 1)) if size else [])
        assert says in caught.value.reason
        assert caught.value.status == 400


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=b", b"b"),
        (b'Multipart/Form-Data ;charset=x; BOUNDARY="a b"', b"a b"),
        (
            b"multipart/form-data; boundary=----WebKitFormBoundary7MA4",
            b"----WebKitFormBoundary7MA4",
        ),
        (b"application/json", None),
        (b"multipart/form-database; boundary=b", None),
    ],
)
def test_the_boundary_stands_in_the_type(content_type: bytes, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; boundary=" + b"b" * 71,
        b'multipart/form-data; boundary="a "',
        b"multipart/form-data; boundary=a{b",
    ],
)
def test_a_form_needs_one_valid_boundary(content_type: bytes) -> None:
    with pytest.raises(UnreadableError, match="multipart/form-data: "):
        boundary_of(content_type)
