"""Plans with prefixes in caches: against all placements on tiny systems, and what the verb says."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline import plan
from isocline.cli import main
from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.theory import work_flow

WORK = Work("tokens", 1000.0, 0.1, 1.0)
CURVES = [HyperbolicCurve(9000.0, 5.0), HyperbolicCurve(3000.0, 2.0)]  # 9 and 3 mean jobs/s


def system_of(
    rates: list[float], prefixes: list[int], tokens: list[int], block_size: int = 16
) -> RoutingSystem:
    frontends = tuple(
        Frontend(f"f{f}", PoissonArrivals(rate), prefix=prefix)
        for f, (rate, prefix) in enumerate(zip(rates, prefixes, strict=True))
    )
    backends = tuple(
        Backend(f"b{b}", curve, cache_tokens=held)
        for b, (curve, held) in enumerate(zip(CURVES, tokens, strict=True))
    )
    graph = CompatibilityGraph.from_neighbours(2, [[0, 1]] * len(rates))
    return RoutingSystem(frontends, backends, graph, WORK, block_size=block_size)


def test_where_all_fit_each_edge_in_use_is_a_copy_and_the_flow_is_optimal() -> None:
    system = system_of([3.0, 2.0], [4800, 1600], [10_000, 10_000])
    found = plan(system).prefix_caches
    assert found is not None
    best = work_flow(system, np.array([0.52, 0.52, 0.84, 0.84]))
    assert found.total_jobs == pytest.approx(best.total_jobs, rel=1e-9)
    assert found.gap < 1e-9
    assert found.mean_latency == pytest.approx(found.total_jobs / 5.0)
    assert found.jobs_without == pytest.approx(work_flow(system, np.ones(4)).total_jobs, rel=1e-8)
    assert {(it.frontend, it.backend) for it in found.split} == {
        (it.frontend, it.backend) for it in found.copies
    }
    for copy in found.copies:
        f, b = int(copy.frontend[1]), int(copy.backend[1])
        saved = 0.1 * system.frontends[f].prefix / 1000.0
        assert copy.worth == pytest.approx(copy.rate * saved * best.price[b], rel=1e-4)
    for f, rate in enumerate((3.0, 2.0)):
        sent = sum(it.rate for it in found.split if it.frontend == f"f{f}")
        assert sent == pytest.approx(rate, rel=1e-5)


@settings(max_examples=8)
@given(
    st.lists(st.floats(0.2, 2.0), min_size=3, max_size=3),
    st.lists(st.integers(0, 500), min_size=3, max_size=3),
    st.lists(st.integers(0, 1200), min_size=2, max_size=2),
)
def test_copies_fit_and_the_bound_is_below_the_best_placement(
    rates: list[float], blocks: list[int], held: list[int]
) -> None:
    prefixes, tokens = [16 * it for it in blocks], [16 * it for it in held]
    system = system_of(rates, prefixes, tokens)
    found = plan(system).prefix_caches
    if not any(prefixes):
        assert found is None
        return
    assert found is not None
    warm = np.repeat(1.0 - 0.1 * np.array(prefixes) / 1000.0, 2)
    for b in (0, 1):
        assert sum(it.tokens for it in found.copies if it.backend == f"b{b}") <= tokens[b]
    best = np.inf
    for chosen in itertools.product([False, True], repeat=6):
        used = np.array(chosen)
        taken = [np.repeat(prefixes, 2)[b::2][used[b::2]].sum() for b in (0, 1)]
        if taken[0] <= tokens[0] and taken[1] <= tokens[1]:
            best = min(best, work_flow(system, np.where(used, warm, 1.0)).total_jobs)
    assert found.least_jobs <= best * (1 + 1e-8)
    assert found.total_jobs >= best * (1 - 1e-8)
    assert found.jobs_without is not None
    assert found.total_jobs <= found.jobs_without * (1 + 1e-8)


def test_prefixes_are_kept_in_whole_blocks_and_idle_frontends_left_out() -> None:
    system = system_of([2.0, 0.0], [1023, 50], [1008, 1007], block_size=16)
    found = plan(system).prefix_caches
    assert found is not None
    assert [(it.frontend, it.backend, it.tokens) for it in found.copies] == [("f0", "b0", 1008)]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match=r"frontend 'f0': its prefix of 20000 tokens is 2000 tok"):
        plan(system_of([1.0], [20_000], [10**6] * 2))
    with pytest.raises(UsageError, match="frontend 'f': prefix"):
        Frontend("f", PoissonArrivals(1.0), prefix=-1)


FILE = """kind: routing
work: {unit: tokens, mean: 1000, prefill: 0.1, decode: 1.0}
prefix_cache: {tokens: 6000}
backends:
  - {name: h100, curve: {type: hyperbolic, peak: 9000, half: 5}}
  - {name: l4, curve: {type: hyperbolic, peak: 3000, half: 2}, prefix_cache: {tokens: 2000}}
frontends:
  - {name: chat, rate: 5.0, prefix: 4800, backends: ["*"]}
  - {name: code, rate: 2.0, prefix: 1600, backends: ["*"]}
"""


def run(folder: Path, text: str, *options: str) -> Result:
    file = folder / "fleet.yaml"
    file.write_text(text)
    return CliRunner().invoke(main, ["plan", str(file), *options], prog_name="isocline")


def test_the_verb_says_which_copies_there_are_and_what_they_save(tmp_path: Path) -> None:
    result = run(tmp_path, FILE)
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "With prefixes cached" in said
    assert "fewer than without caches" in said
    assert "Copies, by what each saves" in said
    document = json.loads(run(tmp_path, FILE, "--json").stdout)["prefix_caches"]
    assert document.keys() == {
        "total_jobs",
        "least_jobs",
        "gap",
        "jobs_without",
        "mean_latency",
        "copies",
        "split",
    }
    assert {(it["frontend"], it["backend"]) for it in document["copies"]} == {
        ("chat", "h100"),
        ("code", "l4"),
    }


def test_a_load_that_only_caches_make_feasible_has_a_plan(tmp_path: Path) -> None:
    result = run(tmp_path, FILE.replace("rate: 5.0", "rate: 12.0"))
    assert result.exit_code == 0
    assert "infeasible" in result.stdout
    assert "without caches no split can serve this load" in result.stdout
    beyond = run(tmp_path, FILE.replace("rate: 5.0", "rate: 50.0"))
    assert beyond.exit_code == 1
    assert "With prefixes cached" not in beyond.stdout


def test_a_file_with_caches_and_no_prefixes_draws_a_note(tmp_path: Path) -> None:
    result = run(tmp_path, FILE.replace("prefix: 4800, ", "").replace("prefix: 1600, ", ""))
    assert result.exit_code == 0
    assert "note: prefix caches are taken to be empty; give frontends prefix:" in result.stderr
    assert "With prefixes cached" not in result.stdout
