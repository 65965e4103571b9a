"""Which frontend takes a request, and what the model of a body is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.matching import (
    NEEDS_MODEL,
    Matcher,
    NoMatch,
    host_without_port,
    is_under,
    model_of,
)
from isocline.gateway.proxy.request_head import RequestHead
from isocline.gateway.settings import FrontendRule, Match

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "a", '"', "{", "\\"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["a", "m{", 'q"']), JSON), st.text(max_size=9), st.booleans()
)
def test_the_model_is_found_in_whole_and_in_part(
    others: dict[str, Any], model: str, ascii_only: bool
) -> None:
    body = json.dumps(others | {"model": model, "z": "end"}, ensure_ascii=ascii_only).encode()
    assert model_of(body, complete=True) == (model, "")
    assert model_of(body, complete=False) == (model, "")
    before = body[: body.rindex(b'"model"') + 7]  # cut before its value
    assert model_of(before, complete=False)[0] is None


@given(JSON, st.booleans())
def test_what_is_not_a_text_model_says_why(document: Any, complete: bool) -> None:
    model, why = model_of(json.dumps(document).encode(), complete)
    named = document.get("model") if isinstance(document, dict) else None
    assert model == (named if isinstance(named, str) else None)
    assert bool(why) == (model is None)


@given(st.binary(max_size=60), st.booleans())
def test_noise_has_no_model(body: bytes, complete: bool) -> None:
    model, why = model_of(body, complete)
    assert (model is None) == bool(why)


def head(target: bytes = b"/", host: bytes = b"a") -> RequestHead:
    return RequestHead(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host), 9)


def test_the_first_whose_conditions_are_met_takes_it() -> None:
    matcher = Matcher(
        (
            FrontendRule("a", Match(path="/v1", model="x")),
            FrontendRule("b", Match(path="/v1/")),
            FrontendRule("c", Match(model="y*")),
        )
    )
    assert matcher.by_head("l", head(b"/v1/z")) == NEEDS_MODEL
    assert matcher.by_model("l", head(b"/v1"), "x", "") == 0
    assert matcher.by_model("l", head(b"/v1"), "other", "") == 1
    assert matcher.by_model("l", head(b"/v1"), None, "why") == 1
    assert matcher.by_model("l", head(b"/v2"), "yes", "") == 2
    refused = matcher.by_model("l", head(b"/v2"), None, "not JSON")
    assert isinstance(refused, NoMatch)
    assert "not JSON" in refused.reason


@pytest.mark.parametrize(
    ("host", "without"),
    [(b"A.b:80", "a.b"), (b"a", "a"), (b"[::1]:80", "[::1]"), (b"[::1]", "[::1]"), (b"", "")],
)
def test_hosts_without_their_port(host: bytes, without: str) -> None:
    assert host_without_port(host) == without


@pytest.mark.parametrize(
    ("target", "under"),
    [(b"/v1", True), (b"/v1/", True), (b"/v1/x", True), (b"/v1?q", True), (b"/v10", False)],
)
def test_a_prefix_ends_where_a_segment_does(target: bytes, under: bool) -> None:
    assert is_under(target, b"/v1") is under
