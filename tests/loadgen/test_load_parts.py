"""What load is made of: events, histograms, schedules, settings."""

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.loadgen import LoadSettings, Schedule, run_load
from isocline.loadgen.flight import Events
from isocline.loadgen.tally import Tally, Times
from isocline.loadgen.target import Target
from isocline.model.traffic import Trace, bursty_trace


def chunk(delta: dict[str, object]) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]})


texts = st.text(max_size=20)


@given(
    st.lists(st.one_of(texts, st.none()), max_size=8),
    st.sampled_from(["\n\n", "\r\n\r\n"]),
    st.booleans(),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_tokens_are_counted_however_the_stream_is_cut(
    said: list[str | None], end: str, done: bool, cuts: list[int]
) -> None:
    lines = [chunk({} if text is None else {"content": text}) for text in said]
    stream = "".join(f"{line}{end}" for line in [": comment", *lines, *["data: [DONE]"] * done])
    data = stream.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    events = Events()
    tokens = sum(events.feed(data[a:b]) for a, b in pairwise(edges))
    assert tokens == sum(bool(text) for text in said)
    assert (events.done, events.failed) == (done, False)


def test_completions_reasoning_and_errors_are_known() -> None:
    events = Events()
    assert events.feed(b'data: {"choices":[{"text":" a"}]}\n\n') == 1
    assert events.feed(b'data: {"choices":[{"delta":{"reasoning_content": "hm"}}]}\n\n') == 1
    assert events.feed(b'data: {"choices":[{"text":""}]}\n\n') == 0
    assert not events.failed
    assert events.feed(b'data: {"error": {"message": "out of memory"}}\n\n') == 0
    assert events.failed


def test_a_line_without_end_is_an_error_and_not_kept() -> None:
    events = Events()
    for _ in range(40):
        events.feed(b"x" * 65536)
    assert events.failed
    assert len(pickle.dumps(events)) < 2 << 20


@settings(max_examples=25)
@given(st.lists(st.floats(1e-5, 600.0), min_size=1, max_size=300))
def test_quantiles_are_those_of_numpy_to_1_in_1000(seconds: list[float]) -> None:
    times = Times()
    for one in seconds:
        times.add(one)
    assert times.mean == pytest.approx(np.mean(seconds))
    for q in (0.5, 0.9, 0.99, 1.0):
        exact = float(np.quantile(seconds, q, method="inverted_cdf"))
        assert times.quantile(q) == pytest.approx(exact, rel=1.1e-3, abs=1.1e-6)


def test_tallies_of_workers_add_up_after_their_way_through_a_pipe() -> None:
    rng = np.random.default_rng(0)
    parts, whole = [Tally(), Tally()], Tally()
    for i, one in enumerate(rng.exponential(0.1, 2000)):
        for tally in (parts[i % 2], whole):
            tally.due += 1
            tally.completed += 1
            tally.latency.add(float(one))
            tally.errors["reset" if i % 3 else "timeout"] += 1
    total = Tally()
    for part in parts:
        total += pickle.loads(pickle.dumps(part))
    assert (total.due, total.completed, total.errors) == (2000, 2000, whole.errors)
    assert total.latency.mean == pytest.approx(whole.latency.mean)
    for q in (0.1, 0.5, 0.99, 1.0):
        assert total.latency.quantile(q) == whole.latency.quantile(q)


def test_a_poisson_schedule_has_its_rate_and_is_the_same_for_the_same_seed() -> None:
    one = Schedule.poisson(500.0, 20.0, 8, 4, seed=1)
    assert one.times.size == pytest.approx(10_000, abs=500)  # five standard deviations
    assert (np.diff(one.times) >= 0).all()
    assert one.times[-1] < 20.0
    assert set(one.prompt_tokens) == {8}
    assert np.array_equal(one.times, Schedule.poisson(500.0, 20.0, 8, 4, seed=1).times)
    assert not np.array_equal(one.times[:50], Schedule.poisson(500.0, 20.0, 8, 4).times[:50])


def test_parts_of_a_schedule_are_the_whole() -> None:
    whole = Schedule.poisson(100.0, 3.0, 1, 1)
    times = np.concatenate([whole.part(i, 3).times for i in range(3)])
    assert np.array_equal(np.sort(times), whole.times)


def test_a_trace_is_followed_to_the_duration() -> None:
    trace = Trace("t", np.array([0.0, 1.0, 2.5]), np.array([10.0, 0.0, 3.4]), np.ones(3))
    whole, part = Schedule.of_trace(trace), Schedule.of_trace(trace, 2.0)
    assert (whole.times.tolist(), whole.duration) == ([0.0, 1.0, 2.5], 3.75)
    assert whole.prompt_tokens.tolist() == [10, 1, 3]  # a request has at least one token
    assert part.times.tolist() == [0.0, 1.0]
    assert Schedule.of_trace(bursty_trace(100)).source == "trace generated (bursty, seed 0)"


@pytest.mark.parametrize(
    ("url", "kind", "line"),
    [
        ("http://h:1", "chat", b"POST /v1/chat/completions HTTP/1.1"),
        ("http://h:1/v1/", "chat", b"POST /v1/chat/completions HTTP/1.1"),
        ("http://h:1/openai/completions?v=2", "completion", b"POST /openai/completions?v=2 HTTP/"),
        ("http://h:1/a/?b=c", "get", b"GET /a/?b=c HTTP/1.1"),
    ],
)
def test_the_url_says_what_is_asked(url: str, kind: str, line: bytes) -> None:
    target = Target(LoadSettings(url, headers=("Authorization: Bearer k",)))
    data = target.request("word" * 5, 7)
    assert target.kind == kind
    assert data.startswith(line)
    assert b"\r\nhost: h:1\r\nAuthorization: Bearer k\r\n" in data
    if kind != "get":
        head, _, body = data.partition(b"\r\n\r\n")
        assert b"content-length: %d" % len(body) in head
        assert json.loads(body)["max_tokens"] == 7
        assert b'"' + b"word" * 5 + b'"' in body


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "h:80"}, "is not a URL to load; give http://HOST:PORT"),
        ({"url": "ftp://h"}, "is not a URL"),
        ({"url": "http://h:99999"}, "port"),
        ({"url": "http://h/a b"}, "%20"),
        ({"url": "http://h", "headers": ("X",)}, "give it as 'Name: value'"),
        ({"url": "http://h", "headers": ("X: a\r\nY: b",)}, "give it as 'Name: value'"),
        ({"url": "http://h", "connections": 0}, "connections is 0"),
        ({"url": "http://h", "timeout": 0.0}, "timeout is 0.0 s"),
        ({"url": "http://h", "timeout": 1e9}, "up to 3600"),
        ({"url": "http://h", "warmup": float("nan")}, "warmup is nan"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError) as error:
        LoadSettings(**settings)  # type: ignore[arg-type]
    assert problem in str(error.value)


def test_bad_schedules_are_named() -> None:
    with pytest.raises(UsageError, match="rate is 0"):
        Schedule.poisson(0.0, 1.0, 1, 1)
    with pytest.raises(UsageError, match="at most 20,000,000"):
        Schedule.poisson(1e6, 1e6, 1, 1)


def test_more_workers_than_a_machine_has_a_use_for_are_refused_before_any_is_started() -> None:
    settings = LoadSettings("http://127.0.0.1:1", connections=10_000_000)
    schedule = Schedule.poisson(10.0, 1.0, 1, 1)
    with pytest.raises(UsageError, match=r"^workers: 1,000,000 worker processes on .*; give at mo"):
        run_load(settings, schedule, 1_000_000)
