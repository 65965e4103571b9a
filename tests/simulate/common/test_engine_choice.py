"""Engines are found by what they run; what none runs is refused with a remedy for each part."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.simulate.common.engine_choice import EngineKind, Feature, asked, chosen
from isocline.simulate.routing.engine_choice import ENGINES, require_engine
from isocline.simulate.scheduling.engines import ENGINES as CLUSTER_ENGINES

F = Feature
KINDS = (
    EngineKind(lambda: "plain", frozenset({F.CONTINUOUS})),
    EngineKind(lambda: "late", frozenset({F.CONTINUOUS, F.DELAY})),
    EngineKind(lambda: "listed", frozenset({F.CONTINUOUS, F.TRACE, F.PATIENCE})),
    EngineKind(lambda: "also listed", frozenset({F.CONTINUOUS, F.TRACE, F.LAYERS})),
)


@pytest.mark.parametrize(
    ("features", "name"),
    [
        ({F.CONTINUOUS}, "plain"),
        ({F.CONTINUOUS, F.DELAY}, "late"),
        ({F.CONTINUOUS, F.TRACE}, "listed"),
        ({F.TRACE, F.LAYERS}, "also listed"),
    ],
)
def test_the_first_that_runs_all_is_taken(features: set[Feature], name: str) -> None:
    assert chosen(KINDS, asked(dict.fromkeys(features, True)))() == name


def test_the_smallest_part_that_is_too_much_is_named_with_a_remedy_for_each() -> None:
    wanted: dict[Feature, bool | str] = {
        F.CONTINUOUS: True,
        F.DELAY: True,
        F.TRACE: "trace day.csv",
        F.SLOTTED: False,
    }
    with pytest.raises(UsageError) as caught:
        chosen(KINDS, asked(wanted))
    assert str(caught.value) == (
        "delay cannot be simulated with trace day.csv; leave one of the two out: "
        "leave out --delay, or leave the trace out"
    )
    three = {F.TRACE: True, F.PATIENCE: True, F.LAYERS: True}
    with pytest.raises(UsageError, match="patience cannot be simulated with layers; leave one of"):
        chosen(KINDS, asked(three))
    with pytest.raises(UsageError, match="failures cannot be simulated; leave out --failure"):
        chosen(KINDS, asked({F.CONTINUOUS: True, F.FAILURES: True}))


@given(st.sets(st.sampled_from(Feature)), st.sampled_from([ENGINES, CLUSTER_ENGINES]))
def test_a_refusal_names_only_what_no_engine_runs_together(
    features: set[Feature], engines: tuple[EngineKind[object], ...]
) -> None:
    runs = [kind.runs for kind in engines]
    wanted = asked(dict.fromkeys(features, True))
    if any(features <= known for known in runs):
        assert chosen(engines, wanted) in [kind.make for kind in engines]
        return
    with pytest.raises(UsageError) as caught:
        chosen(engines, wanted)
    said = str(caught.value)
    apart = [
        some
        for size in range(1, len(features) + 1)
        for some in combinations(features, size)
        if not any(known.issuperset(some) for known in runs)
    ]
    least = [some for some in apart if len(some) == len(apart[0])]
    assert any(all(f.words in said and f.remedy in said for f in some) for some in least)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (F.PATIENCE, F.DELAY),
        (F.PATIENCE, F.LEARNING),
        (F.PATIENCE, F.SLOTTED),
        (F.PATIENCE, F.HOLDING),
        (F.CHANGES, F.LAYERS),
        (F.CHANGES, F.LEARNING),
        (F.CHANGES, F.DELAY),
        (F.CHANGES, F.SLOTTED),
        (F.CHANGES, F.HOLDING),
        (F.DELAY, F.TRACE),
        (F.DELAY, F.SLOWDOWNS),
        (F.DELAY, F.LAWS),
        (F.LEARNING, F.TRACE),
        (F.LEARNING, F.HOLDING),
        (F.SLOTTED, F.TRACE),
        (F.SLOTTED, F.FCFS),
        (F.SLOTTED, F.SLOWDOWNS),
    ],
)
def test_routing_refuses_what_it_never_could(one: Feature, other: Feature) -> None:
    clock = F.SLOTTED if F.SLOTTED in (one, other) else F.CONTINUOUS
    for feature in {one, other} - {F.SLOTTED}:
        require_engine({F.CONTINUOUS: True, feature: True})
    with pytest.raises(UsageError, match=f"{one.words} cannot be simulated with {other.words}"):
        require_engine({one: True, other: True, clock: True})
