"""What is told of it: Prometheus, JSON, the document, and the gap to the optimum."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from isocline.gateway.core.actions import Cause
from isocline.gateway.core.build import core_of
from isocline.gateway.metrics import Snapshot, merged, prometheus, statistics
from isocline.gateway.metrics.failure_reasons import REASON_OF_STATUS, REASON_OF_WORDS
from isocline.gateway.metrics.optimality import PARTS, History, Optimality, optimality_between
from isocline.gateway.metrics.prometheus_format.exposition import exposed
from isocline.gateway.metrics.snapshot import (
    BackendSnapshot,
    KeySnapshot,
    LearnedCurve,
    Pair,
    TenantSnapshot,
)
from isocline.learn import Interval, Learner
from isocline.model.curves import HyperbolicCurve
from isocline.policies.parse import parse
from isocline.theory.routing.equilibrium import plan
from tests.builders import fleet, mixed, station
from tests.gateway.metrics.seeing import access, random_accesses, statistics_of, window_at_optimum
from tests.learn.living import spread

SYSTEM = mixed()
APART = fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [12.0, 4.0], [[0, 1], [1]])
DOCUMENT = Path(__file__).parents[3] / "docs/metrics.md"


def everything() -> Snapshot:
    """A snapshot in which nothing is missing."""
    core = core_of(SYSTEM, parse("gmsr"), learner=Learner(2))
    core.reported(0, 1.0, 4)
    refused = core.arrived(1.0, 0)
    core.finished(refused.request, 1.5, status=404)
    seen = statistics_of(SYSTEM)
    for one in random_accesses(40, 2, 2):
        seen.observer(one)
    seen.observer(access(reason=Cause.RESET.reason, failures=((0, Cause.RESET),)))
    told = seen.snapshot(core, 2.0)
    live = told.backends["b0"].live
    assert live is not None
    assert live.learned is not None
    done, seconds = spread(HyperbolicCurve(10.0, 6.0), 60, 5000.0)  # enough to see the bend
    counts = dict(enumerate(zip(done.tolist(), seconds.tolist(), strict=True)))
    learned = replace(live.learned, cut=3, counts=counts)
    live = replace(live, limit=3, closed=1.0, learned=learned, round_trip=0.02, distance=0.01)
    backends = told.backends | {"b0": replace(told.backends["b0"], live=live)}
    return replace(
        told,
        backends=backends,
        control_changes={"drain": {"ann": 1}},
        keys={"ann": KeySnapshot({200: 3, 429: 1}, {"requests": 1}, 10, 20)},
        spans={"exported": 3},
        tenants={"ann": TenantSnapshot(3, 4.0, 1, 2.0), "(others)": TenantSnapshot(1, 1.0)},
    )


def account() -> Optimality:
    """One with nothing missing: f1 may not use b0, which would help."""
    start, end = window_at_optimum(APART)
    start, end = (
        replace(
            it,
            backends={
                name: replace(seen, reports=reports, surprises=float(reports))
                for name, seen in it.backends.items()
            },
        )
        for it, reports in ((start, 0), (end, 50))
    )
    return replace(optimality_between(start, end), capacity_interval=Interval(1.0, 2.0))


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_families(text)}


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Of each metric in the document's tables: its type and its labels."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", DOCUMENT.read_text(), re.MULTILINE)
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_the_document_names_what_is_told_and_nothing_else() -> None:
    told = {}
    for family in text_families(prometheus(everything(), account()).decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.samples, f"{name} has no sample here, so its labels are not checked"
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        told[name] = (family.type, labels)
    said = {name: (kind, set(labels)) for name, (kind, labels) in documented().items()}
    # The parser takes an info metric for the gauge that it is in this format.
    assert said.pop("isocline_info") == ("info", {"version", "policy", "system"})
    assert told.pop("isocline_info") == ("gauge", {"version", "policy", "system"})
    assert said == told


def test_names_and_texts_are_as_prometheus_wants_them() -> None:
    units = ("_seconds", "_bytes", "_jobs", "_ratio")
    for name, family in families(prometheus(everything(), account()).decode()).items():
        assert re.fullmatch(r"(isocline|process)_[a-z_]+", name)
        assert family.documentation.endswith(".")
        assert family.type != "histogram" or name.endswith(units)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket"))


def test_the_document_names_every_reason() -> None:
    text = DOCUMENT.read_text()
    words = {
        *REASON_OF_WORDS.values(),
        *REASON_OF_STATUS.values(),
        *(cause.name.lower() for cause in Cause),
    }
    assert {
        word
        for word in {*words, "bad_request", "client_gone", "client_slow"}
        if f"`{word}`" not in text
    } == (set())


def test_histograms_are_whole() -> None:
    told = families(prometheus(everything()).decode())["isocline_request_duration_seconds"]
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for sample in told.samples:
        key = sample.labels["frontend"], sample.labels["backend"]
        rows.setdefault(key, {})[sample.labels.get("le", sample.name[-5:])] = sample.value
    assert len(rows) == 9
    for row in rows.values():
        shown = [value for bound, value in row.items() if bound[0] in "0123456789+"]
        assert shown == sorted(shown)
        assert row["+Inf"] == row["count"] > 0
        assert row["e_sum" if "e_sum" in row else "s_sum"] > 0


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics"),
    ],
)
def test_both_formats_parse_and_agree(accept: str, kind: str) -> None:
    text, content_type = exposed(everything(), account(), accept)
    assert content_type.startswith(kind)
    parsed = openmetrics_families if accept else text_families
    told = {family.name: family for family in parsed(text.decode())}
    requests = told["isocline_requests"].samples
    assert sum(sample.value for sample in requests) == 41


def test_no_credentials_are_told() -> None:
    seen = everything()
    told = [prometheus(seen, account()), json.dumps(statistics(seen, account())).encode()]
    assert all(b"secret" not in text and b"user" not in text for text in told)
    assert b"http://127.0.0.1:8001" in told[1]
    assert b"secret" not in seen.to_json()


def test_workers_that_differ_show_in_between() -> None:
    up = everything()
    core = core_of(SYSTEM, parse("gmsr"))
    core.backend_down(1, 0.0)
    down = statistics_of(SYSTEM).snapshot(core, 2.0)
    told = families(prometheus(merged([up, down])).decode())
    states = {
        (sample.labels["backend"], sample.labels["state"]): sample.value
        for sample in told["isocline_backend_state"].samples
    }
    assert states["b0", "up"] == 1.0
    assert states["b1", "up"] == 0.5
    assert states["b1", "ejected"] == 0.0


def test_statistics_are_json_with_what_was_counted() -> None:
    told = statistics(everything(), account())
    json.dumps(told, allow_nan=False)
    totals = [part["requests"]["total"] for part in told["frontends"]]
    assert sum(totals) == 41
    assert {part["name"] for part in told["backends"]} == {"b0", "b1"}
    assert told["backends"][0]["state"] == {"up": 1.0, "draining": 0.0, "ejected": 0.0, "full": 0.0}
    assert told["optimality"]["gap"] == pytest.approx(1.0, rel=0.01)
    assert sum(told["optimality"]["parts"].values()) == pytest.approx(told["optimality"]["latency"])


# The gap


def test_a_window_at_the_optimum_has_no_gap() -> None:
    start, end = window_at_optimum(APART, seconds=1000.0)
    found = optimality_between(start, end)
    best = plan(APART)
    assert found.gap is not None
    assert found.gap.ratio == pytest.approx(1.0, rel=1e-3)
    assert found.gap.optimum == pytest.approx(best.mean_latency, rel=1e-3)
    assert found.served == pytest.approx(16_000, abs=2)
    assert found.capacity_scale == pytest.approx(best.capacity_scale, rel=1e-3)
    [edge] = found.missing_edges
    [planned] = best.missing_edges
    assert (edge.frontend, edge.backend) == (planned.frontend, planned.backend) == ("f1", "b0")
    assert edge.saves == pytest.approx(planned.saves, rel=0.01)


def test_the_rates_may_grow_up_to_what_backends_serve_that_are_not_drained() -> None:
    system = fleet([HyperbolicCurve(20.0, 5.0), HyperbolicCurve(30.0, 5.0)], [10.0])
    start, end = window_at_optimum(system)
    assert optimality_between(start, end).capacity_scale == pytest.approx(5.0, rel=1e-3)
    seen = end.backends["b1"]
    assert seen.live is not None
    gone = {**end.backends, "b1": replace(seen, live=replace(seen.live, draining=1))}
    found = optimality_between(start, replace(end, backends=gone))
    assert found.capacity_scale == pytest.approx(2.0, rel=1e-3)


def test_parts_add_up_to_the_latency() -> None:
    start, end = window_at_optimum(SYSTEM, times=1.5)
    held = {
        frontend: {
            backend: replace(
                pair, served_wait=0.125 * pair.served, served_seconds=0.75 * pair.served
            )
            for backend, pair in row.items()
        }
        for frontend, row in end.pairs.items()
    }
    gap = optimality_between(start, replace(end, pairs=held)).gap
    assert gap is not None
    assert gap.latency == pytest.approx(0.75)
    assert gap.held == pytest.approx(0.125)
    assert gap.fluctuation == pytest.approx(0.5 * gap.optimum, rel=0.02)
    assert sum(getattr(gap, part) for part in PARTS) == pytest.approx(gap.latency, rel=1e-12)


def test_reports_that_surprise_tell_how_stale_counts_are() -> None:
    gap = account().gap
    assert gap is not None
    assert gap.stale_counts is not None
    assert gap.stale_counts > 0
    unheard = optimality_between(*window_at_optimum(SYSTEM)).gap
    assert unheard is not None
    assert unheard.stale_counts is None


def test_learned_curves_make_the_optimum_uncertain() -> None:
    start, end = window_at_optimum(SYSTEM)
    errors = []
    for completions in (100.0, 10_000.0):
        backends = {}
        for seen, backend in zip(end.backends.values(), SYSTEM.backends, strict=True):
            points = {
                n: (float(backend.curve.rate(n)) * completions, completions)
                for n in map(float, range(1, 80))
            }
            assert seen.live is not None
            live = replace(seen.live, given=None, learned=LearnedCurve(completions, None, points))
            backends[backend.name] = replace(seen, live=live)
        gap = optimality_between(start, replace(end, backends=backends)).gap
        assert gap is not None
        assert gap.ratio == pytest.approx(1.0, abs=0.05)
        errors.append(gap.optimum_error)
    assert errors[0] == pytest.approx(10.0 * errors[1], rel=0.05)


def without_gap() -> Iterator[tuple[Snapshot, Snapshot, str]]:
    start, end = window_at_optimum(SYSTEM, seconds=2.0)
    yield start, end, r"requests served in 2 s; 100 are wanted"
    start, end = window_at_optimum(SYSTEM)
    yield start, replace(end, pairs={"f1": {"b0": Pair(served=9000)}}), "f1.* bring"
    yield end, start, "requests served in -60 s"


@pytest.mark.parametrize(("start", "end", "why"), [*without_gap()])
def test_where_there_is_no_gap_it_says_why(start: Snapshot, end: Snapshot, why: str) -> None:
    found = optimality_between(start, end)
    assert found.gap is None
    assert re.search(why, found.why_not)
    told = families(prometheus(end, found).decode())
    assert told["isocline_optimality_gap"].samples == []
    assert told["isocline_gap_part_seconds"].samples == []


def test_a_classical_station_has_a_gap_but_no_plan() -> None:
    system = fleet([station(50.0, 2), HyperbolicCurve(20.0, 5.0)], [10.0])
    found = optimality_between(*window_at_optimum(system))
    assert found.gap is not None
    assert found.gap.ratio == pytest.approx(1.0, rel=0.01)
    assert (found.capacity_scale, found.missing_edges) == (None, ())


def test_a_backend_that_left_does_not_count() -> None:
    start, end = window_at_optimum(SYSTEM)
    pairs = {**end.pairs, "f0": {**end.pairs["f0"], "old": Pair(served=5000)}}
    backends = {**end.backends, "old": BackendSnapshot(job_seconds=1e6)}
    found = optimality_between(start, replace(end, pairs=pairs, backends=backends))
    assert found.gap == optimality_between(start, end).gap


def test_a_window_goes_back_as_far_as_asked() -> None:
    window = History(30.0)
    assert window.optimality().why_not
    start, end = window_at_optimum(SYSTEM, seconds=60.0)
    for now in range(0, 100, 10):
        window.add(replace(start, now=float(now)))
    window.add(replace(end, now=100.0))
    assert window.optimality().window == 30.0
