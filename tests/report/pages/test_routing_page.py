"""The page of a routing system: its numbers are those of the records, and names stay text."""

from dataclasses import replace
from functools import cache

import pytest

import isocline
from isocline.model.fleet import Work
from isocline.report.pages.findings import Policies, RoutingFindings
from isocline.report.pages.routing import flow_graph_of, routing_page
from isocline.report.words import duration, estimate, number, percent
from isocline.theory.routing.equilibrium import plan
from tests.report.awkward import fleet
from tests.report.pages.reading import HOSTILE, ORIGIN, Page, routing_findings


# Not while files are imported, which each worker does with all of them.
@cache
def usual() -> RoutingFindings:
    return routing_findings(["h100", "a10g"])


def nothing_but_a_plan() -> RoutingFindings:
    return replace(usual(), policies=Policies(None, ()), fluid=None)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(routing_page(usual(), ORIGIN))


def test_it_asks_nobody_for_anything(page: Page) -> None:
    assert page.requests() == []
    assert len(page.named("script")) == 1  # that of the theme
    assert "src" not in page.named("script")[0]
    (policy,) = (m for m in page.named("meta") if m.get("http-equiv"))
    assert "default-src 'none'" in str(policy["content"])


def test_ids_are_unique_and_references_lead_somewhere(page: Page) -> None:
    assert len(set(page.ids)) == len(page.ids)
    for tag, attributes in page.elements:
        for name in ("href", "aria-labelledby", "aria-describedby"):
            value = str(attributes.get(name) or "")
            if name != "href" or value.startswith("#"):
                assert {*value.removeprefix("#").split()} <= {*page.ids}, (tag, attributes)


def test_the_plan_is_that_of_the_record(page: Page) -> None:
    best = usual().plan
    assert best.certificate is not None
    for backend in best.backends:
        row = page.row("Backends", backend.name)
        shown = (backend.jobs, backend.rate, backend.marginal_rate)
        assert {number(value) for value in shown} <= {*row}
        assert percent(backend.utilisation) in row
    assert f"conservation residual {best.certificate.conservation:.1e}" in page.words
    assert f"slope gap {best.certificate.slope_gap:.1e}" in page.words
    assert f"{duration(best.mean_latency, 4)} on average" in page.words
    assert f"{number(best.total_jobs)} jobs in the system" in page.words


def test_capacity_and_the_tight_set_are_those_of_the_record(page: Page) -> None:
    best = usual().plan
    grows = number(best.capacity_scale)
    assert f"all arrivals may grow {grows} times" in page.words
    assert f"The load is {percent(1 / best.capacity_scale)} of what can be served" in page.words
    brings = float(best.system.rates.sum())
    serves = float(best.system.capacities.sum())
    assert f"bring {number(brings)} jobs/s" in page.words
    assert f"serve less than {number(serves)} jobs/s" in page.words


def test_the_price_of_a_frontend_is_the_derivative_of_the_jobs_by_its_rate(page: Page) -> None:
    step = 1e-4
    more = plan(fleet(["h100", "a10g"], rate=5.0 + step)).total_jobs
    now = usual().plan.total_jobs
    assert more is not None
    assert now is not None
    *_, price = page.row("Prices", "all")
    assert float(price) == pytest.approx((more - now) / step, rel=1e-3)


def test_policies_are_those_of_the_comparison(page: Page) -> None:
    own = usual().policies.own
    assert own is not None
    for policy in own.policies:
        rows = [row for table in page.tables for row in table if row[0] == policy.policy]
        assert any(estimate(policy.mean_latency, 1e-3) in row for row in rows)
    assert "gmsr is best with a mean of" in page.words
    assert "random takes 10.9 times as long" in page.words


def test_every_table_has_a_caption_and_rows_as_long_as_its_head(page: Page) -> None:
    assert len(page.named("caption")) == len(page.tables)
    for table in page.tables:
        assert {len(row) for row in table} == {len(table[0])}


def test_every_picture_has_a_name_and_a_description(page: Page) -> None:
    drawings = page.named("svg")
    assert len(drawings) >= 8  # for a desk and for a phone
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert drawing["aria-labelledby"] in page.ids
        assert drawing["aria-describedby"] in page.ids
    titles = [data for tag, data in page.texts if tag == "title"]
    assert any("who sends what to whom" in title for title in titles)


def test_names_of_a_file_stay_text() -> None:
    found = routing_findings([HOSTILE, f"{HOSTILE}2"])
    own = found.policies.own
    assert own is not None
    (*others, last) = own.policies
    own = replace(
        own, system=HOSTILE, source=HOSTILE, policies=(*others, replace(last, policy=HOSTILE))
    )
    found = replace(found, policies=Policies(own, (own, own), (HOSTILE,)))
    system = replace(found.plan.system, name=HOSTILE)
    found = replace(found, plan=replace(found.plan, system=system))
    page = Page(routing_page(found, replace(ORIGIN, file=HOSTILE, notes=[HOSTILE])))
    assert page.requests() == []
    assert len(page.named("script")) == 1
    assert page.named("img") == [{"src": page.named("img")[0]["src"], "alt": ""}]
    assert HOSTILE in page.words
    assert page.row("Backends", HOSTILE)


def test_a_load_that_cannot_be_served_says_what_is_and_what_is_not() -> None:
    found = routing_findings(["h100", "a10g"], rate=500.0, simulated=False)
    page = Page(routing_page(found, ORIGIN))
    over = found.plan.overload
    assert over is not None
    assert "No policy can serve this load." in page.words
    assert f"At best {number(over.throughput)} jobs/s are served" in page.words
    assert f"a flow carries {number(over.certificate.carried)} jobs/s" in page.words
    for backend in over.backends:
        assert number(backend.rate) in page.row("Backends in the long run", backend.name)
    assert "There is no equilibrium" in page.words
    assert page.requests() == []


def test_what_was_left_out_is_said() -> None:
    found = replace(
        nothing_but_a_plan(),
        policies=Policies(None, (), ("The time was over.",)),
        left_out=("No fluid.",),
    )
    words = Page(routing_page(found, ORIGIN)).words
    assert "The time was over." in words
    assert "No fluid." in words


def test_a_fleet_of_hundreds_is_drawn_in_groups_whose_flows_add_up() -> None:
    best = plan(fleet([f"gpu-{i}" for i in range(300)], rate=2000.0))
    graph = flow_graph_of(best)
    assert graph.is_grouped
    assert sum(flow.rate for flow in graph.flows) == pytest.approx(2000.0)
    page = Page(routing_page(replace(nothing_but_a_plan(), plan=best), ORIGIN))
    assert "gpu (× 300)" in page.words
    assert "Alike ones are drawn as one" in page.words
    assert len(page.source) < 600_000


def test_the_examples_have_a_graph_whose_flows_are_the_split() -> None:
    best = plan(isocline.load("examples/regions.yaml"))
    graph = flow_graph_of(best)
    assert len(graph.flows) == sum(row.rate > 0 for row in best.split)
    for flow in graph.flows:
        ends = graph.sources[flow.source].name, graph.sinks[flow.sink].name
        assert (*ends, flow.rate) in best.split


def test_prefix_caches_of_a_plan_are_shown_with_their_copies() -> None:
    system = fleet(["b0", "b1"], rate=3.0)
    cached = replace(
        system,
        frontends=tuple(replace(one, prefix=4800) for one in system.frontends),
        backends=tuple(replace(one, cache_tokens=10_000) for one in system.backends),
        work=Work("tokens", 1000.0, 0.1, 1.0),
    )
    cached = replace(
        cached, backends=tuple(replace(b, curve=b.curve.scaled(1000.0)) for b in cached.backends)
    )
    best = plan(cached)
    found = best.prefix_caches
    assert found is not None
    page = Page(routing_page(replace(nothing_but_a_plan(), plan=best), ORIGIN))
    assert f"{number(found.total_jobs)} jobs in the system" in page.words
    (caption,) = (words for words in page.captions if words.startswith("Copies"))
    shown = page.tables[page.captions.index(caption)]
    assert len(shown) == 1 + len(found.copies)
    assert shown[1][:2] == [found.copies[0].frontend, found.copies[0].backend]
    assert number(found.copies[0].worth) in shown[1]
