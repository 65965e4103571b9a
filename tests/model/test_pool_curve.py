"""The pool curve: the most that its members can serve together."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from isocline.errors import CurveError, SystemFileError
from isocline.model.curves import (
    Curve,
    ExponentialCurve,
    HyperbolicCurve,
    KneeCurve,
    PoolCurve,
    ServersCurve,
    TableCurve,
)
from isocline.model.systemfile import load, notes
from isocline.theory.routing.equilibrium import plan
from tests.builders import fleet

peak, width = st.floats(0.5, 50.0), st.floats(0.5, 50.0)
member: st.SearchStrategy[Curve] = st.one_of(
    st.builds(HyperbolicCurve, peak, width),
    st.builds(ExponentialCurve, peak, width),
    st.builds(KneeCurve, peak, width, st.floats(0.8, 4.0)),
    st.builds(lambda p, w: TableCurve(((w, p), (3 * w, 2 * p))), peak, width),
)


@given(member, member, st.floats(0.01, 300.0))
def test_two_members_serve_what_a_search_over_all_splits_finds(
    one: Curve, other: Curve, jobs: float
) -> None:
    pool = PoolCurve((one, other))
    best = minimize_scalar(
        lambda n: -float(one.rate(n) + other.rate(jobs - n)),
        bounds=(0.0, jobs),
        method="bounded",
        options={"xatol": 1e-9 * jobs},
    )
    ends = max(float(one.rate(jobs)), float(other.rate(jobs)))  # the search stays off the ends
    assert float(pool.rate(jobs)) == pytest.approx(max(-best.fun, ends), rel=1e-7)


@given(st.lists(member, min_size=1, max_size=5), st.floats(0.01, 300.0))
def test_no_split_serves_more_and_the_marginal_rate_proves_it(
    members: list[Curve], jobs: float
) -> None:
    # Weak duality: for every g, sum_m max_n (l_m(n) - g n) + g N is at least what any split serves.
    pool = PoolCurve(tuple(members))
    g = float(pool.marginal(jobs))
    n = np.linspace(0.0, jobs, 2001)
    surplus = sum(float(np.max(m.rate(n) - g * n)) for m in members)
    assert surplus + g * jobs == pytest.approx(float(pool.rate(jobs)), rel=1e-4)
    even = sum(float(m.rate(jobs / len(members))) for m in members)
    assert even <= float(pool.rate(jobs)) * (1 + 1e-12)


@given(member, st.integers(1, 6))
def test_a_pool_of_like_members_is_one_of_them_enlarged(one: Curve, count: int) -> None:
    pool, large = PoolCurve((one,) * count), one.enlarged(float(count))
    n = np.linspace(0.0, 2.0 * count * large.supremum / float(large.marginal(0.0)), 30)
    np.testing.assert_allclose(pool.rate(n), large.rate(n), rtol=1e-9)
    np.testing.assert_allclose(pool.marginal(n), large.marginal(n), rtol=1e-9, atol=1e-12)


@given(member, member, member)
def test_a_pool_in_a_pool_changes_nothing(a: Curve, b: Curve, c: Curve) -> None:
    nested, flat = PoolCurve((a, PoolCurve((b, c)))), PoolCurve((a, b, c))
    n = np.linspace(0.0, 100.0, 25)
    np.testing.assert_array_equal(nested.rate(n), flat.rate(n))


@given(st.lists(member, min_size=1, max_size=4), st.floats(0.5, 4.0))
def test_scaling_a_pool_scales_its_members(members: list[Curve], factor: float) -> None:
    pool = PoolCurve(tuple(members))
    n = np.linspace(0.0, 60.0, 13)
    np.testing.assert_allclose(pool.scaled(factor).rate(n), factor * pool.rate(n), rtol=1e-9)
    np.testing.assert_allclose(
        pool.enlarged(factor).rate(factor * n), factor * pool.rate(n), rtol=1e-9, atol=1e-12
    )


def test_past_the_ends_of_all_tables_one_more_job_adds_nothing() -> None:
    pool = PoolCurve((TableCurve(((1, 2), (2, 3))), TableCurve(((1, 1), (4, 3)))))
    assert pool.marginal([6.0, 7.0]).tolist() == [0.0, 0.0]
    assert pool.rate([6.0, 7.0]) == pytest.approx([6.0, 6.0])
    assert float(pool.marginal(5.9)) > 0.0


def test_members_that_make_no_pool_are_refused() -> None:
    with pytest.raises(CurveError, match="no members"):
        PoolCurve(())
    with pytest.raises(CurveError, match=r"members\[1\] is a servers curve"):
        PoolCurve((HyperbolicCurve(1, 1), ServersCurve(1.0)))


rates = st.floats(0.1, 0.8)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(member, min_size=1, max_size=3), min_size=2, max_size=4), rates, rates)
def test_a_plan_of_pools_is_the_plan_of_their_members(
    members: list[list[Curve]], one: float, other: float
) -> None:
    pools = [PoolCurve(tuple(curves)) for curves in members]
    shared = min(one, other) * pools[0].supremum
    rest = other * 0.9 * sum(pool.supremum for pool in pools[1:])
    pooled = fleet(pools, [shared, rest], [[0], range(1, len(pools))])
    flat = pooled.flattened()
    assert flat.pool_of.tolist() == [p for p, curves in enumerate(members) for _ in curves]
    here, there = plan(pooled), plan(flat.system)
    assert here.total_jobs == pytest.approx(there.total_jobs, rel=1e-6)
    jobs = np.bincount(flat.pool_of, [backend.jobs for backend in there.backends])
    assert jobs == pytest.approx([backend.jobs for backend in here.backends], rel=1e-5, abs=1e-6)


def test_flattening_connects_every_frontend_of_a_pool_with_all_its_members() -> None:
    curve = HyperbolicCurve(10.0, 4.0)
    system = fleet([PoolCurve((curve, curve)), curve], [1.0, 2.0], [[0, 1], [1]])
    flat = system.flattened().system
    assert [backend.name for backend in flat.backends] == ["b0/1", "b0/2", "b1"]
    assert [flat.graph.neighbours(f).tolist() for f in range(2)] == [[0, 1, 2], [2]]
    assert flat.rates.tolist() == [1.0, 2.0]


FILE = """kind: routing
backends:
  - name: site
    curve:
      type: pool
      members:
        - {type: hyperbolic, peak: 10, half: 4}
        - {type: table, points: [[1, 2], [2, 3], [4, 5], [5, 4]]}
frontends:
  - {name: f, rate: 1, backends: ["*"]}
"""


def test_a_pool_in_a_file_is_read_and_its_tables_are_told(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(FILE)
    system = load(path)
    assert isinstance(system.curves[0], PoolCurve)
    assert system.curves[0].members[0] == HyperbolicCurve(10, 4)
    assert any("'site'" in note and "[5, 4]" in note for note in notes(system))


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("type: hyperbolic", "type: hyperbola", r":7: .*members\[0\].type: unknown member type"),
        ("half: 4", "half: 0", r":7: .*members\[0\].half: is 0; give a number above 0"),
        ("{type: hyperbolic, peak: 10, half: 4}", "{peak: 1}", r":7: .*type: is missing"),
        ("half: 4", "half: 4, cores: 2", r":7: .*cores: is an unknown key"),
        (
            "{type: hyperbolic, peak: 10, half: 4}",
            "{type: servers, rate: 1}",
            ":7: .*is a servers curve",
        ),
    ],
)
def test_a_mistake_in_a_member_is_named_with_its_place(
    tmp_path: Path, good: str, bad: str, message: str
) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(FILE.replace(good, bad))
    with pytest.raises(SystemFileError, match=message):
        load(path)
