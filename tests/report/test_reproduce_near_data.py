"""What the near-data figures draw, derived a second way."""

from typing import Any, cast

import numpy as np
import pytest

from isocline.report.reproduce import Reproduction, neardata_fig1_2, neardata_heavy
from isocline.report.reproduce.clusters import cluster_of, while_stable
from isocline.simulate.scheduling.compare import simulate_cluster
from isocline.simulate.scheduling.run_settings import LEVELS
from isocline.theory.scheduling.near_data_plan import near_data_plan


@pytest.fixture(scope="module")
def heavy(made: Any) -> Reproduction:
    return cast("Reproduction", made("neardata-heavy")[0])


def test_the_limits_are_the_theorems_by_hand(heavy: Reproduction) -> None:
    # Even: Poisson arrivals at 8 * 0.5 - epsilon, eight services of variance 1/4. Overloaded: four
    # helpers busy half the time help at rate 1/8 each, with variance 1/8 * 7/8; beneficiaries get
    # 4 * 1/2 + 4 * 1/8 - epsilon, with services of variance 1/4.
    for row in heavy.tables[""]:
        epsilon = row["epsilon"]
        if row["case"] == "even":
            twice = (4.0 - epsilon) + 8 / 4
        else:
            twice = (2.5 - epsilon) + 4 / 4 + 4 * 7 / 64
        assert row["limit"] == pytest.approx(twice / 2, rel=1e-9)


def test_helpers_load_does_not_depend_on_epsilon() -> None:
    for epsilon in neardata_heavy.EPSILONS:
        plan = near_data_plan(neardata_heavy.overloaded(epsilon), clock="slotted")
        assert plan.beneficiaries == (0, 1, 2, 3)
        assert plan.bounds is not None
        assert plan.bounds.epsilon == pytest.approx(epsilon)
        assert np.allclose(plan.loads[4:], 0.25)


def test_no_policy_is_below_the_lower_bound(heavy: Reproduction) -> None:
    for row in heavy.tables[""]:
        # The interval's half-width once more, for 18 of them.
        assert 2 * row["scaled_high"] - row["scaled"] >= row["lower_bound"]


def test_the_claims_about_heavy_traffic_hold_with_another_seed(heavy: Reproduction) -> None:
    assert all(claim.holds for claim in heavy.claims)


@pytest.mark.parametrize("racks", [1, 10])
def test_the_cluster_of_the_evaluation_serves_five_sixths(racks: int) -> None:
    # Hot half: 500 local. The others have 0.2 of the tasks and half the speed for the rest:
    # 0.8 s - 500 = (500 - 0.2 s) / 2 at s = 833.3; within racks it is a little more.
    cluster = cluster_of(1000, hot=True, racks=racks)
    capacity = near_data_plan(cluster, replicas_to_try=0).capacity_scale * cluster.arrival_rate
    if racks == 1:
        assert capacity == pytest.approx(2500 / 3)
    else:
        assert 2500 / 3 <= capacity < 1000


def test_reproductions_take_the_papers_reading_of_local_and_say_so(heavy: Reproduction) -> None:
    (one,) = while_stable(
        cluster_of(4, hot=False), ["local_first"], [0.3], horizon=200.0, warmup=50.0,
        replications=2, seed=0,
    )  # fmt: skip
    assert one.level == "queue"
    assert "in whose queue it waited, as the paper's R_m has it" in heavy.conditions
    # The figure's own run at its largest epsilon. Some of the servers that help hold the data, too,
    # so that the readings differ.
    cluster = neardata_heavy.even(0.4)
    scaled = {}
    for level in LEVELS:
        found = simulate_cluster(
            cluster, neardata_heavy.POLICIES, clock="slotted", horizon=20_000.0, warmup=4_000.0,
            replications=4, percentiles=False, seed=1, level=level,
        ).policies[0].mean_tasks  # fmt: skip
        assert found is not None
        scaled[level] = 0.4 * (found.value - cluster.arrival_rate)
    drawn = heavy.tables[""][0]
    assert (drawn["case"], drawn["policy"], drawn["epsilon"]) == ("even", "local_first", 0.4)
    assert drawn["scaled"] == pytest.approx(scaled["queue"], rel=1e-9)
    assert drawn["scaled"] != pytest.approx(scaled["data"], rel=0.01)


def test_figure_2_is_a_decomposition_of_its_types() -> None:
    plan = near_data_plan(neardata_fig1_2.cluster(), replicas_to_try=0)
    shares = neardata_fig1_2.decomposition(plan)
    # By hand: types {1,2} 0.7 and {1,2,3} 0.1 share two queues, {3,4} and {3,4,5} go to the third,
    # and 2.3 tasks per slot are left for the two that are overloaded.
    assert shares.sum(axis=1) == pytest.approx([0.4, 0.4, 0.8, 1.15, 1.15], rel=1e-9)
    assert shares.diagonal() == pytest.approx([0.4, 0.4, 0.8, 1.0, 1.0], rel=1e-9)
    assert (shares[:3, 3:] == 0.0).all()
    assert (shares >= 0.0).all()
