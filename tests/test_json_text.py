"""JSON that people read, held to `json` itself."""

import json
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.json_text import finite, json_text

# Among others with brackets and separators, as they stand between rows.
TEXTS = st.text() | st.sampled_from(
    ["},\n  {", '"', "\\", "},\\n{", "a: 1", "\x85\u2028", "\ud800"]
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
ROWS = st.lists(st.dictionaries(TEXTS, PLAIN, max_size=3), max_size=4)
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    PLAIN | ROWS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=2).map(MappingProxyType)
    ),
)


@given(document=DOCUMENTS, ascii_only=st.booleans())
def test_the_text_is_that_of_json(document: Any, ascii_only: bool) -> None:
    expected = json.dumps(finite(document), indent=2, allow_nan=False, ensure_ascii=ascii_only)
    assert json_text(document, ascii_only=ascii_only) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"rows": [{"name": "a", "rate": np.float64("nan")}, {"name": "b", "rate": np.float64(2)}]},
        {7: {"a": []}, None: [1], True: [{}], 2.5: [{}, {"a": 1}]},
        [{"a": 1}, {"a": [2]}],
        [[1, 2], [], [3]],
    ],
)
def test_rows_keys_and_numbers_of_other_kinds(document: Any) -> None:
    assert json_text(document) == json.dumps(finite(document), indent=2, allow_nan=False)


@pytest.mark.parametrize("value", [np.int64(1), object(), {"a": [{"b": np.zeros(2)}]}])
def test_what_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_text([{"value": value}])
