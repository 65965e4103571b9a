"""Routes: patterns in the words of a regular expression, and the order of frontends."""

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.planes.envoy.routes import regular_expression

TEXTS = st.text(alphabet="ab-.!]^[\\*é\n", max_size=6)
PATTERNS = st.text(alphabet="ab-.!]^[\\*?&é", max_size=8)


@given(PATTERNS, TEXTS)
def test_an_expression_matches_what_the_pattern_does(pattern: str, text: str) -> None:
    found = re.fullmatch(regular_expression(pattern), text) is not None
    assert found == fnmatchcase(text, pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("large*", "large-1"),
        ("*", ""),
        ("m-[0-9]", "m-7"),
        ("m-[!0-9]", "m-x"),
        ("a.b", "a.b"),
        ("[]a]", "]"),
        ("[", "["),
    ],
)
def test_patterns_as_they_are_written_match(pattern: str, text: str) -> None:
    assert re.fullmatch(regular_expression(pattern), text)
