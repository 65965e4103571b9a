"""The page of a cluster: its numbers are those of the plan and of the comparison."""

from dataclasses import replace

import isocline
from isocline.model.cluster import Cluster, HotSpot, Rates, SampledTasks
from isocline.report.pages.findings import ClusterFindings, Policies
from isocline.report.pages.near_data import near_data_page
from isocline.report.words import estimate, number, percent
from isocline.theory.scheduling.near_data_plan import near_data_plan
from tests.report.cluster_results import make
from tests.report.pages.reading import HOSTILE, ORIGIN, Page

CLUSTER = isocline.load("examples/small_cluster.yaml", kind="near-data")


def test_loads_helps_and_policies_are_those_of_the_records() -> None:
    plan = near_data_plan(CLUSTER)
    own = make()
    page = Page(near_data_page(ClusterFindings(plan, Policies(own, (own, own))), ORIGIN))
    assert page.requests() == []
    assert f"{percent(1 / plan.capacity_scale)} of what can be served" in page.words
    _, *_, load, share, _, _ = page.row("Servers by load", "beneficiary")
    assert load == number(max(plan.loads))
    assert share == percent(max(plan.loads) / CLUSTER.rates.local)
    total = sum(entry.rate for entry in plan.helps)
    assert f"serve {number(total)} tasks/s for a1, a2" in page.words
    assert f"conservation residual {plan.certificate.conservation:.1e}" in page.words
    best = plan.replicate[0]
    assert f"may grow {number(best.capacity_scale)} times" in page.words
    for policy in own.policies:
        rows = [row for table in page.tables for row in table if row[0] == policy.policy]
        assert any(estimate(policy.mean_latency) in row for row in rows)


def test_names_of_servers_stay_text() -> None:
    names = (HOSTILE, *(f"{HOSTILE}{i}" for i in range(1, 6)))
    plan = near_data_plan(replace(CLUSTER, servers=names, name=HOSTILE))
    page = Page(near_data_page(ClusterFindings(plan, Policies(None, ())), ORIGIN))
    assert page.requests() == []
    assert len(page.named("script")) == 1
    assert HOSTILE in page.words


def test_a_cluster_that_cannot_serve_its_tasks_says_so() -> None:
    tasks = SampledTasks(3, 90.0, HotSpot(0.5, 0.8))
    plan = near_data_plan(Cluster.numbered(100, Rates(1.0, 0.5), tasks))
    page = Page(
        near_data_page(ClusterFindings(plan, Policies(None, (), ("Not simulated",))), ORIGIN)
    )
    assert "Under any policy the queues of this cluster grow without end." in page.words
    assert f"All arrivals times {number(plan.capacity_scale)} would be the limit" in page.words
    assert "Not simulated" in page.words
