"""Requests of an interval, and latencies of the last few, held to plain sums."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.metrics.histogram import add
from isocline.gateway.metrics.live_page.intervals import Recent, ended_between
from isocline.histogram import Histogram
from tests.gateway.metrics.fleet_snapshots import backend, pair, snapshot

UP = {"a": backend("a"), "b": backend("b")}


def histogram(times: list[float]) -> Histogram:
    made = Histogram()
    for seconds in times:
        add(made, seconds)
    return made


def test_an_interval_has_what_ended_in_it() -> None:
    before = snapshot(1.0, UP, {("f", "a"): pair([0.1, 0.2]), ("f", "b"): pair([1.0])})
    after = snapshot(
        2.0,
        UP,
        {
            ("f", "a"): pair(
                [0.1, 0.2, 0.4],
                codes={200: 3, 502: 2, 404: 1},
                failed={"connect": 2},
                retries=3,
            ),
            ("f", "b"): pair([1.0]),
            ("g", "b"): pair([2.0]),
        },
    )
    found = {(f, b): ended for f, b, ended in ended_between(before, after)}
    assert set(found) == {("f", "a"), ("g", "b")}
    one = found["f", "a"]
    assert (one.count, one.errors, one.retries, one.failed) == (4, 2, 3, {"connect": 2})
    assert one.duration.counts == histogram([0.4]).counts
    assert found["g", "b"].count == 1


def test_counts_that_a_killed_worker_took_with_it_are_never_negative() -> None:
    before = snapshot(1.0, UP, {("f", "a"): pair([0.1] * 5, failed={"reset": 2})})
    after = snapshot(2.0, UP, {("f", "a"): pair([0.1] * 3, failed={"reset": 1})})
    assert not list(ended_between(before, after))
    again = snapshot(3.0, UP, {("f", "a"): pair([0.1] * 4, failed={"reset": 1})})
    [(_, _, ended)] = ended_between(after, again)
    assert (ended.count, ended.failed) == (1, {})


INTERVALS = st.lists(
    st.tuples(
        st.integers(0, 4),  # s after the one before
        st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from([0.01, 0.1, 3.0]))),
    ),
    min_size=1,
)


@given(INTERVALS)
def test_recent_latencies_are_the_sum_of_the_last_intervals(
    intervals: list[tuple[int, dict[str, list[float]]]],
) -> None:
    recent, now = Recent(10.0), 0.0
    given_at: list[tuple[float, dict[str, list[float]]]] = []
    for since, times in intervals:
        now += since
        recent.add(now, {("", name): histogram(each) for name, each in times.items()})
        given_at.append((now, times))
        for name in "abc":
            wanted = Counter[int]()
            for at, those in given_at:
                if at > now - 10.0:
                    wanted.update(histogram(those.get(name, [])).counts)
            assert recent.of(("", name)).counts == wanted
            assert recent.of(("", name)).seconds >= 0.0 or wanted
