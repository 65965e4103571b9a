"""Which frontend takes a request."""

import pytest

from isocline.gateway.config import FrontendRule
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.unreadable import UnreadableError
from isocline.gateway.proxy.matching import (
    NEEDS_MODEL,
    Matcher,
    NoMatch,
    host_without_port,
    is_under,
    shown,
)
from isocline.model.match import Match


def head(target: bytes = b"/", host: bytes = b"a", method: bytes = b"GET") -> RequestHead:
    return RequestHead(b"%b %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (method, target, host), 9)


def test_the_first_whose_conditions_are_met_takes_it() -> None:
    matcher = Matcher(
        (
            FrontendRule("a", Match(path="/v1", model="x")),
            FrontendRule("b", Match(path="/v1/")),
            FrontendRule("c", Match(model="y*")),
        )
    )
    assert matcher.by_head("l", head(b"/v1/z")) == NEEDS_MODEL
    why = UnreadableError("not JSON", 415)
    assert matcher.by_model("l", head(b"/v1"), "x", None) == 0
    assert matcher.by_model("l", head(b"/v1"), "other", None) == 1
    assert matcher.by_model("l", head(b"/v1"), None, why) == 1
    assert matcher.by_model("l", head(b"/v2"), "yes", None) == 2
    refused = matcher.by_model("l", head(b"/v2", method=b"POST"), None, why)
    assert isinstance(refused, NoMatch)
    assert refused.status == 415
    assert "not JSON" in refused.reason
    unknown = matcher.by_model("l", head(b"/v2"), None, why)  # GET is no fault of the client's
    assert isinstance(unknown, NoMatch)
    assert unknown.status == 404
    unknown = matcher.by_model("l", head(b"/v2", method=b"POST"), "z" * 900_000, None)
    assert isinstance(unknown, NoMatch)
    assert unknown.status == 404
    assert len(unknown.reason) < 200


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("a", "'a'"),
        ("a\n\x1b[31m\ud800", r"'a\n\x1b[31m\ud800'"),
        ("m" * 101, f"'{'m' * 100}...'"),
        ("m" * 100, f"'{'m' * 100}'"),
    ],
)
def test_a_model_is_shown_in_short_and_escaped(model: str, text: str) -> None:
    assert shown(model) == text


def test_a_model_is_reached_by_every_frontend_that_may_take_it_whatever_the_path() -> None:
    matcher = Matcher(
        (
            FrontendRule("listing", Match(path="/v1/models")),
            FrontendRule("chat", Match(path="/v1/chat", model="a*")),
            FrontendRule("embeddings", Match(path="/v1/embeddings/")),
            FrontendRule("hidden", Match(path="/v1/embeddings/x")),
            FrontendRule("host", Match(host="h", model="b")),
            FrontendRule("elsewhere", Match(path="/v2")),
            FrontendRule("listener", Match(listener="in", model="b")),
            FrontendRule("rest", Match(path="/", headers={"X-Team": "x"})),
        )
    )
    asks = head(b"/v1/models")
    team = RequestHead(b"GET /v1/models HTTP/1.1\r\nHost: h\r\nX-Team: x\r\n\r\n", 9)
    assert matcher.takers("l", asks, "a1") == [1, 2]
    assert matcher.takers("l", asks, "b") == [2]
    assert matcher.takers("in", asks, "b") == [2, 6]
    assert matcher.takers("l", head(b"/v1/models", b"H:80"), "b") == [2, 4]
    assert matcher.takers("l", team, "c") == [2, 7]
    assert matcher.takers("l", team, "b") == [2, 4]  # the rest is never reached with this one


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
