import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.model.cluster import Cluster, ExplicitTasks, HotSpot, Rates, SampledTasks
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import DeterministicSizes
from isocline.theory.scheduling.near_data_plan import near_data_plan

PAPER = Cluster.numbered(1000, Rates(1.0, 0.5), SampledTasks(3, 700.0, HotSpot(0.5, 0.8)))


def explicit(
    rows: Sequence[Sequence[int]],
    rates: Sequence[float],
    speed: Rates | None = None,
    racks: int = 1,
) -> Cluster:
    servers = 1 + max(max(row) for row in rows)
    tasks = ExplicitTasks(CompatibilityGraph.from_neighbours(servers, rows), np.array(rates))
    return Cluster.numbered(servers, speed or Rates(1.0, 0.5), tasks, racks=racks)


def test_json_has_the_keys_of_the_interface_first() -> None:
    document = near_data_plan(PAPER).to_dict()
    assert json.loads(json.dumps(document)) == document
    assert list(document)[:7] == [
        "kind", "status", "capacity_scale", "helpers", "beneficiaries", "loads", "certificate",
    ]  # fmt: skip
    assert document["kind"] == "near-data"
    assert set(document["certificate"]) == {"conservation", "slope_gap"}
    assert set(document["helps"][0]) == {"helper", "beneficiary", "rate", "level"}
    assert set(document["bounds"]) == {
        "queues", "theorems", "clock", "epsilon", "arrival_variance", "service_variance", "lower",
        "leading",
    }  # fmt: skip


def test_the_papers_hot_spot() -> None:
    found = near_data_plan(PAPER)
    assert found.status == "stable"
    assert found.capacity_scale * 700.0 == pytest.approx(2500.0 / 3.0, rel=1e-12)
    assert found.beneficiaries == tuple(range(500))
    assert found.helpers == tuple(range(500, 1000))
    assert found.loads[:500] == pytest.approx([1.12] * 500)
    assert sum(entry.rate for entry in found.helps) == pytest.approx(60.0)
    assert found.remote_share == pytest.approx(60.0 / 700.0)
    # spreading 0.3/0.8 of the hot data over the others evens all loads out
    (advice,) = found.replicate
    assert advice.share == pytest.approx(0.375)
    assert advice.capacity_scale == pytest.approx(1000.0 / 700.0)
    assert advice.gain == pytest.approx(1000.0 - 2500.0 / 3.0)


def test_a_sample_of_types_comes_near_the_groups() -> None:
    listed = replace(PAPER, tasks=PAPER.explicit_tasks(100_000))
    exact, sampled = near_data_plan(PAPER), near_data_plan(listed, replicas_to_try=1)
    # the share of hot types is off by 0.0013 (one standard deviation)
    assert sampled.capacity_scale == pytest.approx(exact.capacity_scale, rel=0.005)
    assert sampled.beneficiaries == exact.beneficiaries
    assert sampled.certificate.holds()


def test_too_much_load_is_unstable_and_says_how_much_is_missing() -> None:
    found = near_data_plan(PAPER.at_rate(900.0))
    assert found.status == "unstable"
    assert found.capacity_scale < 1
    assert found.bounds is None
    assert "outside the capacity region" in found.bounds_missing
    # helpers give all they have
    assert sum(entry.rate for entry in found.helps) == pytest.approx(0.5 * (500 - 180))


def test_a_load_on_the_boundary_is_not_stable() -> None:
    assert near_data_plan(explicit([(0,), (1,)], [1.0, 1.0])).status == "unstable"
    assert near_data_plan(explicit([(0,), (1,)], [1.0, 1.0 - 1e-9])).status == "stable"


def test_servers_with_names_are_called_by_them() -> None:
    rows, rates = [(0, 1), (2,)], [0.3, 1.4]
    plain = explicit(rows, rates)
    named = replace(plain, servers=("ann", "bob", "cy"))
    assert near_data_plan(plain).beneficiaries == (2,)
    found = near_data_plan(named)
    assert found.beneficiaries == ("cy",)
    assert {entry.helper for entry in found.helps} == {"ann", "bob"}
    assert found.replicate[0].servers == ("cy",)
    assert found.to_frame().loc["cy", "receives"] == pytest.approx(0.4)


def test_an_even_load_has_one_bound_for_each_pool() -> None:
    found = near_data_plan(explicit([(0, 1), (2,), (3, 4)], [1.0, 0.8, 0.4]))
    assert [pool.servers for pool in found.pools] == [(0, 1), (2,), (3, 4)]
    assert [pool.epsilon for pool in found.pools] == pytest.approx([1.0, 0.2, 1.6])
    assert found.bounds is not None
    assert found.bounds.theorems == (6, 8)
    leading = [pool.leading for pool in found.pools if pool.leading is not None]
    assert len(leading) == 3
    assert found.bounds.leading == pytest.approx(sum(leading))
    assert found.helps == ()
    assert found.remote_share == 0.0


def test_single_replicas_connect_no_servers() -> None:
    cluster = Cluster.numbered(20, Rates(1.0, 0.5), SampledTasks(1, 10.0))
    assert [pool.servers for pool in near_data_plan(cluster).pools] == [(m,) for m in range(20)]


def test_with_racks_help_comes_from_the_rack_first() -> None:
    # servers 0 1 | 2 3 in two racks; 0 has 0.6 too much, 1 gives 0.5 in the rack and 2, 3 the rest
    cluster = explicit([(0,), (3,)], [1.6, 0.1], Rates(1.0, 0.25, 0.5), racks=2)
    found = near_data_plan(cluster)
    assert found.status == "stable"
    near: list[object] = [
        (e.helper, e.beneficiary, e.rate) for e in found.helps if e.level == "rack"
    ]
    assert near == [(1, 0, pytest.approx(0.5))]
    assert sum(e.rate for e in found.helps) == pytest.approx(0.6)
    assert found.bounds is None
    assert "two levels" in found.bounds_missing
    # s 1.6 - 1 - 0.5 = 0.25 (2 - 0.1 s) at the boundary
    assert found.capacity_scale == pytest.approx(2.0 / 1.625, rel=1e-8)


def test_racks_do_not_matter_where_all_is_local() -> None:
    tasks = SampledTasks(3, 60.0, placement="hdfs")
    cluster = Cluster.numbered(100, Rates(1.0, 0.2, 0.5), tasks, racks=5)
    assert near_data_plan(cluster).capacity_scale == pytest.approx(100.0 / 60.0, rel=1e-12)


def test_the_theorems_are_about_geometric_and_exponential_service() -> None:
    cluster = replace(PAPER, service=DeterministicSizes())
    assert near_data_plan(cluster).bounds is None


def test_the_slotted_clock_needs_probabilities() -> None:
    cluster = Cluster.numbered(10, Rates(2.0, 1.0), SampledTasks(2, 1.0))
    with pytest.raises(UsageError, match="probabilities per slot"):
        near_data_plan(cluster, clock="slotted")
    bounds = near_data_plan(PAPER, clock="slotted").bounds
    assert bounds is not None
    assert bounds.service_variance == pytest.approx(
        500 * 0.36 * 0.64  # alpha = 1 varies not at all; helpers give 0.5 (1 - 0.28)
    )


def test_frame_has_one_row_for_each_server_and_balances() -> None:
    frame = near_data_plan(PAPER).to_frame()
    assert len(frame) == 1000
    assert frame["gives"].sum() == pytest.approx(frame["receives"].sum())
    assert frame["load"].sum() == pytest.approx(700.0)
