"""The merger: debounce, doubt about empty answers, flapping; by example and by property."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as some

from isocline.gateway.discovery.merge import HALF_LIFE, LONGEST, SETTLE, Merger
from isocline.model.endpoint import Endpoint, Found


def endpoints(*names: str) -> list[Endpoint]:
    return [Endpoint(name, f"{name}:80") for name in names]


def names(found: Found | None, source: str = "s") -> list[str]:
    assert found is not None
    return [it.name for it in found.get(source, ())]


def taken(merger: Merger, now: float) -> list[str] | None:
    found = merger.take(now)
    return None if found is None else names(found)


def test_changes_that_come_together_are_one() -> None:
    merger = Merger({"s": 0.0})
    assert merger.due() == math.inf
    merger.answered("s", endpoints("a"), 0.0)
    assert merger.take(SETTLE / 2) is None
    merger.answered("s", endpoints("a", "b"), SETTLE / 2)
    assert merger.due() == SETTLE / 2 + SETTLE
    assert merger.take(SETTLE) is None
    assert taken(merger, 1.5 * SETTLE) == ["a", "b"]
    assert merger.due() == math.inf


def test_a_change_does_not_wait_for_ever_where_others_go_on_coming() -> None:
    merger, now = Merger({"s": 0.0}), 0.0
    while merger.due() > now:
        merger.answered("s", endpoints(f"a{now}"), now)
        now += SETTLE / 2
    assert LONGEST <= now <= LONGEST + SETTLE
    assert merger.take(now) is not None


def test_the_same_answer_again_changes_nothing() -> None:
    merger = Merger({"s": 0.0}, {"s": endpoints("b", "a")})
    assert names(merger.found) == ["a", "b"]
    merger.answered("s", endpoints("a", "b"), 1.0)
    assert merger.due() == math.inf


def test_one_that_left_and_came_back_in_time_changes_nothing() -> None:
    merger = Merger({"s": 0.0}, {"s": endpoints("a", "b")})
    merger.answered("s", endpoints("a"), 1.0)
    merger.answered("s", endpoints("a", "b"), 1.05)
    assert merger.take(merger.due()) is None


def test_another_address_or_label_is_a_change() -> None:
    merger = Merger({"s": 0.0}, {"s": endpoints("a")})
    merger.answered("s", [Endpoint("a", "b:80")], 1.0)
    found = merger.take(merger.due())
    assert found is not None
    assert found["s"][0].address == "b:80"


def test_an_empty_answer_is_believed_only_once_it_lasts() -> None:
    merger = Merger({"s": 30.0}, {"s": endpoints("a", "b")})
    merger.answered("s", [], 100.0)
    assert taken(merger, 100.0 + SETTLE) is None
    merger.answered("s", [], 110.0)  # asked again: the doubt does not begin anew
    assert merger.due() == 130.0
    assert merger.take(130.0) == {}
    merger.answered("s", endpoints("a"), 140.0)
    assert taken(merger, 140.0 + SETTLE) == ["a"]


def test_doubt_ends_with_an_answer() -> None:
    merger = Merger({"s": 30.0}, {"s": endpoints("a", "b")})
    merger.answered("s", [], 100.0)
    merger.answered("s", endpoints("b"), 110.0)
    assert taken(merger, 110.0 + SETTLE) == ["b"]
    assert merger.due() == math.inf


def test_without_doubt_an_empty_answer_counts_at_once() -> None:
    merger = Merger({"s": 0.0}, {"s": endpoints("a")})
    merger.answered("s", [], 100.0)
    assert merger.take(100.0 + SETTLE) == {}


def test_one_that_flaps_is_withheld_and_let_in_once_it_is_quiet() -> None:
    merger = Merger({"s": 0.0}, {"s": endpoints("a", "b")})
    now = 0.0
    for _ in range(4):  # it leaves four times within a few seconds
        for answer in (endpoints("a"), endpoints("a", "b")):
            merger.answered("s", answer, now)
            merger.take(now + SETTLE)
            now += 1.0
    assert names(merger.found) == ["a"]
    end = merger.due()
    assert now < end < now + 3 * HALF_LIFE
    assert merger.take(end - 0.01) is None
    assert taken(merger, end) == ["a", "b"]
    assert merger.due() == math.inf


def test_half_of_those_of_a_source_are_never_withheld() -> None:
    fleet = endpoints("a", "b", "c", "d", "e")
    merger, now = Merger({"s": 0.0}, {"s": fleet}), 0.0
    for _ in range(6):  # all of them leave and come back, but one, which stays away a little longer
        for answer in (fleet[:1], fleet):
            merger.answered("s", answer, now)
            merger.take(now + SETTLE)
            now += 1.0
    assert len(names(merger.found)) == 3


def test_sources_come_and_go() -> None:
    merger = Merger({"s": 0.0, "t": 0.0}, {"s": endpoints("a"), "t": endpoints("b")})
    merger.use({"t": 0.0, "u": 0.0}, 1.0)
    found = merger.take(merger.due())
    assert found is not None
    assert list(found) == ["t"]
    merger.answered("s", endpoints("c"), 2.0)  # it is not used any more
    assert merger.due() == math.inf
    merger.answered("u", endpoints("d"), 2.0)
    assert names(merger.take(2.0 + SETTLE), "u") == ["d"]


ANSWERS = some.lists(some.sampled_from("abcdef"), max_size=6).map(lambda them: endpoints(*them))
STEPS = some.lists(some.tuples(some.floats(0.0, 20.0), ANSWERS), max_size=40)


def unique(answer: Sequence[Endpoint]) -> list[str]:
    return sorted({it.name for it in answer})


@given(STEPS, some.floats(0.0, 60.0))
def test_what_is_routed_to_is_what_was_found_and_in_the_end_all_of_it(
    steps: list[tuple[float, list[Endpoint]]], doubt: float
) -> None:
    merger, now, last, some_last = Merger({"s": doubt}), 0.0, [""][:0], [""][:0]
    for pause, answer in steps:
        while merger.due() <= now + pause:  # as the caller's timer does
            found = merger.take(merger.due())
            if found is not None:
                shown = names(found)
                # Nothing but what the last answer has, or the last but for an empty one; and at
                # least half of it.
                assert set(shown) <= set(last or some_last)
                assert 2 * len(shown) >= len(last)
        now += pause
        merger.answered("s", answer, now)
        last = unique(answer)
        some_last = last or some_last
    end = now + 1e4
    while merger.due() < end:
        before = merger.due()
        merger.take(before)
        assert merger.due() > before  # it makes progress: no timer that rings for ever
    assert names(merger.found) == last
    assert merger.due() == math.inf


@given(STEPS)
def test_every_change_is_routed_to_soon_unless_it_is_in_doubt_or_flaps(
    steps: list[tuple[float, list[Endpoint]]],
) -> None:
    merger, now = Merger({"s": 0.0}), 0.0
    gone_before: set[str] = set()
    present: set[str] = set()
    for pause, answer in steps:
        now += pause + LONGEST
        merger.take(now - 1e-9)
        merger.answered("s", answer, now)
        new = set(unique(answer))
        gone_before |= present - new
        present = new
        merger.take(now + LONGEST)
        shown = set(names(merger.found))
        assert shown >= present - gone_before  # one that never left is never withheld
        assert shown <= present
        now += LONGEST
