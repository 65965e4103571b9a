"""Every placement draws from the distribution it states: all of it on small systems, by chi-square.

LEVEL is the chance that a right placement fails a test; seeds are fixed, so it is paid once.
"""

from collections import Counter
from collections.abc import Callable
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from isocline.errors import UsageError
from isocline.model.cluster import (
    HdfsPlacement,
    HotSpot,
    HotSpotPlacement,
    Placement,
    UniformPlacement,
    placement_on,
)

LEVEL = 1e-6
COUNT = 200_000
RACK = np.array([0, 1, 0, 2, 1, 2, 2, 0, 2], np.int32)  # racks of 3, 2 and 4, not in order

Law = dict[tuple[int, ...], float]


def hdfs_law(rack: np.ndarray, replicas: int) -> Law:
    """Chance of each ordered choice, by the rule as HDFS's documentation words it."""
    everyone = range(rack.size)
    law: Law = {}
    for chosen in permutations(everyone, replicas):
        chance = 1.0 / rack.size
        if replicas > 1:
            others = [m for m in everyone if rack[m] != rack[chosen[0]]]
            chance *= (chosen[1] in others) / len(others)
        if replicas > 2:
            beside = [m for m in everyone if rack[m] == rack[chosen[1]] and m != chosen[1]]
            chance *= (chosen[2] in beside) / len(beside)
        for have in range(3, replicas):
            chance /= rack.size - have
        if chance > 0:
            law[chosen] = chance
    return law


def uniform_law(rack: np.ndarray, replicas: int) -> Law:
    ordered = list(permutations(range(rack.size), replicas))
    return dict.fromkeys(ordered, 1.0 / len(ordered))


def require_law(rows: np.ndarray, law: Law) -> None:
    assert rows.dtype == np.int32
    found = Counter(map(tuple, rows.tolist()))
    assert set(found) <= set(law)
    expected = np.array(list(law.values())) * len(rows)
    assert expected.min() > 5  # where the chi-square is one
    assert chisquare([found[key] for key in law], expected).pvalue > LEVEL


@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
@pytest.mark.parametrize(("kind", "law"), [("uniform", uniform_law), ("hdfs", hdfs_law)])
def test_every_choice_has_its_chance(
    kind: str, law: Callable[[np.ndarray, int], Law], replicas: int
) -> None:
    rows = placement_on(RACK, replicas, kind).draw(np.random.default_rng(5), COUNT)
    require_law(rows, law(RACK, replicas))


def test_all_servers_may_hold_a_replica() -> None:
    rows = placement_on(np.zeros(4, np.int32), 4).draw(np.random.default_rng(1), 10_000)
    assert (np.sort(rows, axis=1) == np.arange(4)).all()


def test_a_hot_spot_has_its_share_and_each_part_its_placement() -> None:
    hotspot = HotSpot(servers=0.4, share=0.7)  # of 10 servers, the first 4
    placement = placement_on(np.zeros(10, np.int32), 2, "uniform", hotspot)
    rows = placement.draw(np.random.default_rng(2), COUNT)
    hot = (rows < 4).all(axis=1)
    assert (hot | (rows >= 4).all(axis=1)).all()
    assert binomtest(int(hot.sum()), COUNT, 0.7).pvalue > LEVEL
    require_law(rows[hot], uniform_law(np.zeros(4), 2))
    require_law(rows[~hot] - 4, uniform_law(np.zeros(6), 2))


def test_a_hot_spot_may_have_all_the_tasks() -> None:
    placement = placement_on(np.zeros(5, np.int32), 3, "uniform", HotSpot(0.8, 1.0))
    rows = placement.draw(np.random.default_rng(2), 1_000)
    assert set(rows.ravel()) == {0, 1, 2, 3}  # one server is too few for the replicas, and unused
    assert isinstance(placement, HotSpotPlacement)
    assert placement.cold is None


def test_within_a_hot_spot_the_rack_rule_holds_in_each_part() -> None:
    rack = np.repeat(np.arange(4, dtype=np.int32), 3)
    rows = placement_on(rack, 3, "hdfs", HotSpot(0.5, 0.5)).draw(np.random.default_rng(3), 20_000)
    assert (rack[rows[:, 0]] != rack[rows[:, 1]]).all()
    assert (rack[rows[:, 1]] == rack[rows[:, 2]]).all()
    assert ((rows < 6).all(axis=1) | (rows >= 6).all(axis=1)).all()


racks = st.lists(st.integers(2, 5), min_size=2, max_size=6).flatmap(
    lambda sizes: st.permutations([r for r, size in enumerate(sizes) for _ in range(size)])
)


@given(racks, st.integers(1, 4), st.integers(0, 2**32))
def test_hdfs_keeps_to_the_rack_rule_and_never_repeats_a_server(
    rack: list[int], replicas: int, seed: int
) -> None:
    racked = np.array(rack, np.int32)
    rows = placement_on(racked, replicas, "hdfs").draw(np.random.default_rng(seed), 50)
    assert rows.shape == (50, replicas)
    for row in rows.tolist():
        assert len(set(row)) == replicas
        assert all(0 <= m < len(rack) for m in row)
    if replicas > 1:
        assert (racked[rows[:, 0]] != racked[rows[:, 1]]).all()
    if replicas > 2:
        assert (racked[rows[:, 1]] == racked[rows[:, 2]]).all()


def test_the_same_generator_gives_the_same_places() -> None:
    placement = placement_on(RACK, 3, "hdfs", None)
    one, two = (placement.draw(np.random.default_rng(9), 100) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_nothing_is_drawn_when_nothing_is_asked_for() -> None:
    for placement in (placement_on(RACK, 3, kind) for kind in ("uniform", "hdfs")):
        assert placement.draw(np.random.default_rng(0), 0).shape == (0, 3)


SIX = np.arange(6, dtype=np.int32)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: UniformPlacement(SIX, 7), "7 replicas need as many servers, and there are 6"),
        (lambda: UniformPlacement(SIX, 0), "replicas is 0; give a whole number of at least 1"),
        (lambda: placement_on(RACK, 3, "hsdf"), "unknown placement 'hsdf'; known: uniform, hdfs"),
        (lambda: HdfsPlacement(SIX, SIX * 0, 2), "to another rack, and there is only one"),
        (lambda: HdfsPlacement(SIX, SIX, 3), "server 0 is alone in its rack"),
        (lambda: HotSpot(1.0, 0.5), "hot spot on 1 of the servers"),
        (lambda: HotSpot(0.5, float("nan")), "hot spot with nan of the tasks"),
        (lambda: placement_on(RACK, 3, hotspot=HotSpot(0.1, 0.5)), "the 1 hot and the 8 other"),
    ],
)
def test_a_placement_that_cannot_be_is_refused(
    make: Callable[[], Placement | HotSpot], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        make()


def test_laws_of_this_file_are_laws() -> None:
    for replicas in (1, 2, 3, 4):
        assert sum(hdfs_law(RACK, replicas).values()) == pytest.approx(1.0)
    assert len(uniform_law(RACK, 3)) == 6 * len(list(combinations(RACK, 3)))
