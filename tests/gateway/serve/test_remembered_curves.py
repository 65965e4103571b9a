"""Curves of backends that are gone: kept, the last to go first, and not without end."""

from hypothesis import given
from hypothesis import strategies as some

from isocline.gateway.serve.learned_curves import LearnedBackend, LearnedCurves
from isocline.gateway.serve.learning import REMEMBERED, remembering


def curves(names: list[str], completions: float = 1.0) -> LearnedCurves:
    backends = [
        LearnedBackend(
            name=name,
            completions=completions,
            cut=None,
            points=[(1.0, 1.0)],
            levels=[1],
            done=[completions],
            seconds=[completions],
        )
        for name in names
    ]
    return LearnedCurves(kind="learned-curves", version=1, system="s", backends=backends)


def names(learned: LearnedCurves) -> list[str]:
    return [it.name for it in learned.backends]


def test_those_that_are_there_count_as_they_are_now() -> None:
    before = curves(["a", "b"], 1.0)
    now = remembering(curves(["b"], 9.0), before)
    assert [(it.name, it.completions) for it in now.backends] == [("b", 9.0), ("a", 1.0)]
    assert names(remembering(curves(["a"]), None)) == ["a"]


def test_of_too_many_those_that_went_first_are_forgotten() -> None:
    known: LearnedCurves | None = None
    for number in range(REMEMBERED + 100):  # each is there once, with one that stays
        known = remembering(curves(["stays", f"pod-{number}"]), known)
    assert known is not None
    assert len(known.backends) == REMEMBERED + 2
    assert names(known)[:3] == ["stays", f"pod-{REMEMBERED + 99}", f"pod-{REMEMBERED + 98}"]
    assert f"pod-{99}" in names(known)
    assert f"pod-{98}" not in names(known)


@given(some.lists(some.sets(some.sampled_from("abcdef")), max_size=20))
def test_no_curve_of_a_few_backends_is_ever_lost(fleets: list[set[str]]) -> None:
    known: LearnedCurves | None = None
    for version, fleet in enumerate(fleets):
        known = remembering(curves(sorted(fleet), float(version)), known)
    last = {name: float(v) for v, fleet in enumerate(fleets) for name in fleet}
    found = {} if known is None else {it.name: it.completions for it in known.backends}
    assert found == last
