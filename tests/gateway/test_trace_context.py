"""Values of `traceparent` and `tracestate`, against the W3C's rules."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.trace_context import read_parent, read_state

TRACE, SPAN = b"12345678901234567890123456789012", b"1234567890123456"
GOOD = b"00-" + TRACE + b"-" + SPAN + b"-01"
HEX = st.text("0123456789abcdef")


@pytest.mark.parametrize("value", [GOOD, b"cc" + GOOD[2:], b"cc" + GOOD[2:] + b"-what-comes"])
def test_a_parent_of_this_version_or_a_later_one(value: bytes) -> None:
    parent = read_parent(value)
    assert parent is not None
    assert (parent.trace_id, parent.span_id, parent.flags) == (TRACE, SPAN, 1)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        GOOD + b".",
        GOOD + b"-what-comes",
        GOOD + b"\n",
        b"cc" + GOOD[2:] + b".what-comes",
        b"ff" + GOOD[2:],
        b".0" + GOOD[2:],
        b"0" + GOOD[2:],
        b"000" + GOOD[2:],
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"00-" + TRACE[:-1] + b".-" + SPAN + b"-01",
        b"00-" + TRACE + b"1-" + SPAN + b"-01",
        b"00-" + TRACE[:-1] + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + SPAN[:-1] + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"1-01",
        b"00-" + TRACE + b"-" + SPAN + b"-0.",
        b"00-" + TRACE + b"-" + SPAN + b"-001",
        b"00-" + TRACE + b"-" + SPAN + b"-1",
        b"00-" + TRACE[:-1] + b"A-" + SPAN + b"-01",
    ],
)
def test_a_malformed_parent(value: bytes) -> None:
    assert read_parent(value) is None


TWIN = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


@given(st.lists(st.tuples(st.integers(0, 54), st.sampled_from(b"-0aAg \xff")), max_size=4))
def test_a_parent_of_today_is_read_as_an_expression_reads_it(
    changes: list[tuple[int, int]],
) -> None:
    value = bytearray(GOOD)
    for place, character in changes:
        value[place] = character
    found, parent = TWIN.fullmatch(value), read_parent(bytes(value))
    if found is None:
        # Another version may be read; this one may not.
        assert parent is None or not value.startswith(b"00")
    else:
        assert parent is not None
        assert (parent.trace_id, parent.span_id) == (found[1], found[2])
        assert parent.flags == int(found[3], 16)


@given(st.binary(max_size=80))
def test_a_parent_that_is_read_is_well_formed(value: bytes) -> None:
    parent = read_parent(value)
    if parent is not None:
        assert int(parent.trace_id, 16) > 0 < int(parent.span_id, 16)
        assert (len(parent.trace_id), len(parent.span_id)) == (32, 16)
        assert 0 <= parent.flags <= 255


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([], b""),
        ([b""], b""),
        ([b"foo=1,bar=2"], b"foo=1,bar=2"),
        ([b"foo=1", b"", b"bar=2,rojo=1"], b"foo=1,bar=2,rojo=1"),
        ([b"foo=1 \t , \t bar=2, \t baz=3"], b"foo=1,bar=2,baz=3"),
        ([b"foo= 1"], b"foo= 1"),
        ([b"1a-2@f_o*/=1"], b"1a-2@f_o*/=1"),
        ([b"foo=1,foo=1"], b""),
        ([b"foo=1", b"foo=2"], b""),
        ([b"foo =1"], b""),
        ([b"FOO=1"], b""),
        ([b"foo.bar=1"], b""),
        ([b"@foo=1,bar=2"], b""),
        ([b"foo=bar=baz"], b""),
        ([b"foo=,bar=3"], b""),
        ([b"foo,bar=3"], b""),
        ([b"k" * 256 + b"=1"], b"k" * 256 + b"=1"),
        ([b"k" * 257 + b"=1"], b""),
        ([b"foo=" + b"v" * 256], b"foo=" + b"v" * 256),
        ([b"foo=" + b"v" * 257], b""),
    ],
)
def test_a_state_is_one_list_or_void(values: list[bytes], state: bytes) -> None:
    assert read_state(values) == state


def test_a_state_has_at_most_32_members_however_long() -> None:
    members = [b"k%d=%b" % (i, b"v" * 100) for i in range(33)]
    assert read_state(members[:32]) == b",".join(members[:32])
    assert read_state([b",".join(members)]) == b""


def test_all_printable_characters_but_comma_and_equals_may_stand_in_a_value() -> None:
    value = bytes(it for it in range(0x20, 0x7F) if it not in b",=")
    assert read_state([b"foo=" + value]) == b"foo=" + value
