"""Greatest shares of a frontend's requests: over any stretch, and where others are missing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.gateway.core.actions import Hold, Send
from isocline.gateway.core.core import Core
from isocline.gateway.core.share_limits import ShareLimits
from isocline.model.curves import TableCurve
from tests.gateway.core.cores import FAST, SLOW, core, sent

ONE = TableCurve(((1, 2.0), (2, 1.0)))  # at its peak with 1 job


def most_within(places: list[int], place: int, length: int) -> int:
    """Most requests to a place among so many in a row."""
    stretches = range(max(len(places) - length, 0) + 1)
    return max(places[start : start + length].count(place) for start in stretches)


def require_kept(places: list[int], share: float, place: int) -> None:
    for length in range(1, len(places) + 1):
        assert most_within(places, place, length) < share * length + 1.0, (share, length)


@given(share=st.floats(0.01, 0.99), greedy=st.lists(st.booleans(), min_size=60, max_size=120))
@settings(max_examples=60, deadline=None)
def test_no_stretch_has_more_than_the_share_and_one_request(
    share: float, greedy: list[bool]
) -> None:
    """Whatever is chosen: the limited one wherever it may be, or only now and then."""
    limits = ShareLimits([share, 1.0])
    places = []
    for wanted in greedy:
        places.append(int(limits.closed & 1 or not wanted))
        limits.sent(places[-1])
    require_kept(places, share, 0)


@given(share=st.floats(0.01, 0.99))
@settings(max_examples=60, deadline=None)
def test_one_that_takes_every_turn_has_its_share(share: float) -> None:
    limits = ShareLimits([share, 1.0])
    places = []
    for _ in range(400):
        places.append(limits.closed & 1)
        limits.sent(places[-1])
    assert places.count(0) >= share * 400 - 1.0


@given(shares=st.lists(st.floats(0.02, 1.0), min_size=2, max_size=5), seed=st.randoms())
@settings(max_examples=100, deadline=None)
def test_of_many_limited_ones_some_place_is_open(shares: list[float], seed: object) -> None:
    """If not, the one whose turn comes first goes, and each is passed over for a turn at most."""
    limits = ShareLimits(shares)
    everywhere = list(range(len(shares)))
    limits.raise_to_one([True] * len(shares))
    total = min(sum(shares), 1.0)
    places: list[int] = []
    for _ in range(200):
        free = [place for place in everywhere if not limits.closed >> place & 1]
        pick = seed.choice(free) if free else limits.next_turn(everywhere)  # type: ignore[attr-defined]
        places.append(pick)
        limits.sent(pick)
    for place, share in enumerate(shares):
        if share < 1.0:  # an early turn is one that the stretch before it had less
            assert places.count(place) <= share / total * 200 + len(shares)


def backends_of(made: Core, count: int, frontend: int = 0) -> list[int]:
    return [action.backend for action in sent(made, count, frontend=frontend)]


def test_a_canary_gets_its_share_of_each_frontend() -> None:
    made = core(FAST, SLOW, neighbours=[[0, 1], [0, 1]])  # the fast one is the canary
    made.share_changed(0, 0.05, 0.0)
    for frontend in (0, 1):
        places = backends_of(made, 100, frontend)
        assert places.count(0) == 5
        require_kept(places, 0.05, 0)


def test_a_share_is_changed_and_undone() -> None:
    made = core(FAST, SLOW)
    made.share_changed(0, 0.1, 0.0)
    assert backends_of(made, 10).count(0) == 1
    made.share_changed(0, 0.5, 0.0)
    assert backends_of(made, 10).count(0) == 5
    made.share_changed(0, 1.0, 0.0)
    free = core(FAST, SLOW)
    backends_of(free, 6)
    assert 0 in backends_of(made, 3)


def test_a_lone_canary_gets_all() -> None:
    made = core(FAST, SLOW)
    made.share_changed(0, 0.01, 0.0)
    assert backends_of(made, 50).count(0) == 1
    made.backend_down(1, 1.0)
    assert backends_of(made, 50) == [0] * 50
    made.backend_up(1, 2.0)
    assert backends_of(made, 50).count(0) <= 1


def test_two_canaries_alone_share_in_proportion() -> None:
    made = core(SLOW, SLOW, SLOW)
    made.share_changed(0, 0.01, 0.0)
    made.share_changed(1, 0.03, 0.0)
    made.backend_drain(2, 0.0)
    places = backends_of(made, 100)
    assert abs(places.count(0) - 25) <= 1
    assert abs(places.count(1) - 75) <= 1


def test_requests_wait_for_others_rather_than_pass_the_share() -> None:
    made = core(SLOW, ONE)
    made.share_changed(0, 0.1, 0.0)
    assert sorted(backends_of(made, 2)) == [0, 1]
    held = made.arrived(0.0, 0)
    assert isinstance(held, Hold)
    assert made.finished(2, 1.0) == [Send(3, 1)] or made.finished(1, 1.0) == [Send(3, 1)]


def test_what_waits_for_others_goes_once_they_have_gone() -> None:
    made = core(SLOW, ONE)
    made.share_changed(0, 0.1, 0.0)
    backends_of(made, 2)
    held = made.arrived(0.0, 0)
    assert isinstance(held, Hold)
    assert made.backend_down(1, 1.0) == [Send(held.request, 0)]


def test_turns_last_through_a_reload() -> None:
    before, after = core(FAST, SLOW), core(SLOW, FAST)  # in another order
    before.share_changed(0, 0.05, 0.0)
    backends_of(before, 10)
    after.share_changed(1, 0.05, 0.0)
    after.availability.candidates.take_over_turns(
        before.availability.candidates, {0: 1, 1: 0}, {0: 0}
    )
    places = backends_of(after, 30)
    assert places[:10] == [0] * 10
    assert places.count(1) == 1
