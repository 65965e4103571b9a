"""Every figure of `isocline reproduce` is made, and its figures are derived here a second way."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.optimize import brentq, minimize_scalar

from isocline.cli import main
from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile import load
from isocline.report.reproduce import (
    PAPERS,
    Claim,
    fits,
    gmsr_anarchy,
    gmsr_fig8,
    gmsr_tiers,
    systems,
)
from isocline.report.reproduce.gmsr_vs_latency import system_at
from isocline.theory.routing.equilibrium import fluid_optimum
from isocline.theory.routing.structure import structure_of
from tests.report.layout import LOOKS
from tests.report.made_figures import (
    Maker,
    check_files,
    check_list,
    check_picture,
    check_table,
    rows,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAVY = ("numba", "matplotlib", "scipy", "pandas")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="isocline")


def values(document: dict[str, Any], words: str) -> dict[str, Any]:
    """The machine-readable values of the one claim that contains these words."""
    (found,) = [c["values"] for c in document["claims"] if words in c["claim"] + c["measured"]]
    return dict(found)


@pytest.mark.parametrize("name", PAPERS.summaries)
def test_a_figure_is_drawn_beside_its_data_and_its_claims(maker: Maker, name: str) -> None:
    check_files(maker, name)


@pytest.mark.parametrize("name", PAPERS.summaries)
def test_the_table_has_claim_source_measurement_and_verdict(maker: Maker, name: str) -> None:
    check_table(maker, name)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAPERS.summaries)
def test_a_figure_can_be_read_on_light_paper_and_on_dark(
    maker: Maker, name: str, look: str
) -> None:
    check_picture(maker, name, look)


@pytest.mark.parametrize(
    ("make_system", "file"),
    [
        (systems.n_model, "n_model.yaml"),
        (systems.mixed_fleet, "mixed_fleet.yaml"),
        (systems.regions, "regions.yaml"),
    ],
)
def test_a_system_of_the_figures_is_its_example_file(make_system: Any, file: str) -> None:
    ours: RoutingSystem = make_system()
    theirs = load(EXAMPLES / file)
    for part in ("name", "frontends", "backends", "work", "sizes"):
        assert getattr(ours, part) == getattr(theirs, part)
    assert ours.graph.first.tolist() == theirs.graph.first.tolist()
    assert ours.graph.sink.tolist() == theirs.graph.sink.tolist()


@pytest.mark.parametrize("name", ["gmsr-fig7", "gmsr-fig8"])
def test_the_equilibrium_of_the_n_model_solves_its_equations(made: Any, name: str) -> None:
    # Both marginal rates alike, 1/(N+1)^2 = 2/(N+2)^2, and one job/s served in all.
    def second(first: float) -> float:
        return float(np.sqrt(2.0) * (first + 1.0) - 2.0)

    first = brentq(lambda n: n / (n + 1.0) + second(n) / (second(n) + 2.0) - 1.0, 0.5, 5.0)
    found = values(made(name)[1], "equilibrium is")
    assert found["equilibrium"] == pytest.approx([first, second(first)], abs=1e-9)
    erratum = next(c for c in made(name)[1]["claims"] if "equilibrium is" in c["claim"])
    assert erratum["verdict"] == "disagrees"
    assert sum(found["equilibrium"]) < sum(found["printed"])


def test_drawn_paths_come_nearer_to_the_fluid_as_c_grows(directory: Path, made: Any) -> None:
    made("gmsr-fig7")
    data = rows(directory, "gmsr-fig7")

    def path(c: str, start: str, backend: str) -> np.ndarray:
        taken = [r for r in data if (r["c"], r["start"]) == (c, start)]
        return np.array([[float(r["time"]), float(r[backend])] for r in taken])

    def farthest(c: str) -> float:
        far = []
        for start in {r["start"] for r in data}:
            for backend in ("b1", "b2"):
                fluid, own = path("fluid", start, backend), path(c, start, backend)
                far.append(np.abs(own[:, 1] - np.interp(own[:, 0], *fluid.T)).max())
        return float(max(far))

    assert farthest("1000") < 0.5 * farthest("10")
    assert farthest("10") < farthest("1")


def test_dots_keep_to_the_equal_gradient_line_at_a_large_scale(directory: Path, made: Any) -> None:
    made("gmsr-fig8")
    data = rows(directory, "gmsr-fig8")
    off = {}
    for c in ("10.0", "1000.0"):
        y = np.array([[float(r["b1"]), float(r["b2"])] for r in data if r["c"] == c])
        # N2 = sqrt(2) (N1 + 1) - 2; distance from it in units of jobs, of which there are c.
        off[c] = np.abs(y[:, 1] - np.sqrt(2.0) * (y[:, 0] + 1.0) + 2.0) / np.sqrt(3.0) * float(c)
    # The number of jobs by which the line is missed stays the same: their size falls with c.
    assert np.quantile(off["1000.0"], 0.95) == pytest.approx(np.quantile(off["10.0"], 0.95), rel=1)


def test_spreads_fall_with_the_powers_that_theory_gives(made: Any) -> None:
    _, document = made("gmsr-fig8")
    found = values(document, "range of oscillation")
    assert found["along"] == pytest.approx(-0.5, abs=0.1)  # central limit
    assert found["across"] == pytest.approx(-1.0, abs=0.1)  # jobs of size 1/c


def test_times_to_epsilon_are_when_the_paths_get_there(directory: Path, made: Any) -> None:
    made("gmsr-rate")
    paths = rows(directory, "gmsr-rate-paths")
    for entry in rows(directory, "gmsr-rate"):
        own = [r for r in paths if r["delta"] == entry["delta"]]
        time, gap = (np.array([float(r[key]) for r in own]) for key in ("time", "gap"))
        at, epsilon = float(entry["time"]), float(entry["epsilon"])
        assert gap[0] == pytest.approx(float(entry["delta"]))
        assert (gap[time > at] <= epsilon).all()
        assert (gap[time < at] > epsilon).any()
        assert gap[time < at][-1] >= epsilon


def test_the_end_of_a_path_is_as_fast_as_the_lowest_marginal_rate(made: Any) -> None:
    system = systems.mixed_fleet()
    jobs = fluid_optimum(system).workloads
    lowest = min(float(c.marginal(n)) for c, n in zip(system.curves, jobs, strict=True))
    assert values(made("gmsr-rate")[1], "log 1/ε")["rate"] == pytest.approx(lowest, rel=0.02)


def birth_and_death(system: RoutingSystem, inflow: np.ndarray) -> float:
    """Mean jobs of independent backends, each a chain with births at its inflow."""
    total = 0.0
    for curve, rate in zip(system.curves, inflow, strict=True):
        if rate > 0.0:
            n = np.arange(1, 20_000)
            log_weight = np.concatenate(([0.0], np.cumsum(np.log(rate / curve.rate(n)))))
            weight = np.exp(log_weight - log_weight.max())
            total += float(np.arange(n.size + 1) @ weight / weight.sum())
    return total


def test_fixed_shares_have_the_latency_of_birth_and_death_chains(
    directory: Path, made: Any
) -> None:
    made("gmsr-vs-latency")
    data = [r for r in rows(directory, "gmsr-vs-latency") if r["policy"] == "static_optimal"]
    assert len(data) == 3
    for entry in data:
        system = system_at(float(entry["load"]))
        optimum = fluid_optimum(system)
        inflow = np.bincount(system.graph.sink, optimum.split, minlength=system.graph.sinks)
        exact = birth_and_death(system, inflow) / float(system.rates.sum())
        low, high = (float(entry[f"mean_latency_ci95_{end}"]) for end in ("low", "high"))
        middle, half = (low + high) / 2.0, (high - low) / 2.0
        assert abs(middle - exact) < 2.0 * half  # t with 3 degrees of freedom: 99.2 %


def test_verdicts_follow_what_is_measured() -> None:
    scales = gmsr_fig8.SCALES
    growing = np.tile(scales, (fits.BATCHES, 1)) * np.linspace(1.0, 1.1, fits.BATCHES)[:, None]
    *_, ratio, falls = gmsr_fig8.claims({"along": growing, "across": 2.0 * growing})
    assert (ratio.verdict, falls.verdict) == ("disagrees", "disagrees")
    *_, ratio, falls = gmsr_fig8.claims({"along": 2.0 / growing, "across": 1.0 / growing})
    assert (ratio.verdict, falls.verdict) == ("agrees", "agrees")
    other = structure_of(CompatibilityGraph.from_neighbours(5, [[0, 1], [1, 2], [2, 3], [4]]),
                         [3.0, 2.0, 1.0, 2.0, 3.0])  # fmt: skip
    assert [c.verdict for c in gmsr_tiers.claims(other)] == ["disagrees", "agrees"]


def test_a_power_law_is_found_through_noise() -> None:
    rng = np.random.default_rng(7)
    scales = np.array([10.0, 30.0, 100.0, 1000.0])
    noise = np.exp(0.05 * rng.standard_normal((fits.BATCHES, scales.size)))
    found = fits.exponent(scales, 3.0 * scales**-0.5 * noise)
    assert found.low < -0.5 < found.high
    assert found.half_width < 0.03


def test_a_line_explains_what_is_on_it_and_not_what_is_beside() -> None:
    x = np.arange(5.0)
    exact = fits.line(x, 3.0 + 2.0 * x)
    assert exact == pytest.approx((2.0, 3.0, 1.0))
    assert fits.line(x, np.array([0.0, 1.0, -2.0, 1.0, 0.0])).r_squared == pytest.approx(0.0)


def test_batches_are_means_of_neighbours() -> None:
    found = fits.batched(np.arange(2.0 * fits.BATCHES))
    assert found.tolist() == [0.5 + 2.0 * i for i in range(fits.BATCHES)]


def test_a_claim_says_in_its_json_what_it_says_in_the_table() -> None:
    claim = Claim("it falls", "Lemma 1", "it rises", holds=False, values={"slope": 1.0})
    assert claim.to_dict() == {
        "claim": "it falls",
        "source": "Lemma 1",
        "measured": "it rises",
        "verdict": "disagrees",
        "values": {"slope": 1.0},
    }


def test_without_a_name_the_figures_are_listed(maker: Maker) -> None:
    check_list(maker)


def test_an_unknown_figure_is_refused_with_the_nearest(tmp_path: Path) -> None:
    result = run("reproduce", "gmsr-fig9", "--out", tmp_path / "new")
    assert result.exit_code == 2
    assert "no figure is called 'gmsr-fig9'; did you mean 'gmsr-fig8'?" in result.stderr
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="known: gmsr-tiers"):
        PAPERS.make("nothing")


def test_without_matplotlib_the_install_line_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = run("reproduce", "gmsr-tiers", "--out", tmp_path)
    assert result.exit_code == 2
    assert "pip install 'isocline[plot]'" in result.stderr


def test_the_list_of_figures_costs_nothing_to_import() -> None:
    check = f"import sys, isocline.report.reproduce; print(*({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_same_figure_gives_the_same_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        assert run("reproduce", "gmsr-tiers", "--out", tmp_path / folder).exit_code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("degree", [1, 16])
def test_the_price_of_anarchy_is_that_of_pigous_latencies(degree: int) -> None:
    found = gmsr_anarchy.point(degree)
    best = minimize_scalar(
        lambda x: float(gmsr_anarchy.total_latency(np.array(x), degree)), bounds=(0.0, 1.0),
        method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    assert found.anarchy == pytest.approx(1.0 / best.fun, rel=1e-3)
    assert found.optimum == pytest.approx(best.x, abs=2e-3)
    assert found.equilibrium == pytest.approx(1.0, abs=1e-5)


def test_each_change_moves_the_optimum_and_gmsr_ends_there(directory: Path, made: Any) -> None:
    made("gmsr-changes")
    data = rows(directory, "gmsr-changes")
    optima = {row["period"]: float(row["optimum"]) for row in data}
    assert len(set(optima.values())) == len(optima) == 4
    for period, optimum in optima.items():
        gaps = [float(row["distance"]) for row in data if row["period"] == period]
        assert gaps[0] > 0.04 * optimum  # the change matters
        assert gaps[-1] < 1e-5 * gaps[0]


def test_what_is_served_of_an_overload_is_what_hand_and_shares_say(
    directory: Path, made: Any
) -> None:
    _, document = made("gmsr-overload")
    found = {row["policy"]: row for row in rows(directory, "gmsr-overload-policies")}
    # Even shares: 9.5 and 12.8 jobs/s for peaks of 4 and 6, and 16/3 and 22/3 for those with room.
    low, high = (float(found["random"][f"throughput_{end}"]) for end in ("low", "high"))
    assert low - 0.1 <= 10.0 + 38.0 / 3.0 <= high + 0.1
    assert [found[p]["stable"] for p in ("gmsr", "jsq", "static_optimal")] == ["2", "2", "1"]
    # Of the two with room alike marginal rates, 600/(N + 30)^2 = 20/(n + 2)^2, and 20 jobs/s.
    other = brentq(
        lambda n: 10.0 * n / (n + 2.0) + 20.0 * (1.0 - 30.0 / (30.0**0.5 * (n + 2.0))) - 20.0,
        4.0,
        1e3,
    )
    fewest = other + 30.0**0.5 * (other + 2.0) - 30.0
    assert values(document, "minimises the workload")["optimum"] == pytest.approx(fewest)
    assert values(document, "maximises throughput")["most"] == pytest.approx(30.0)
    assert values(document, "pile up")["small-1"][1] == pytest.approx(2.0)
    assert {claim["verdict"] for claim in document["claims"]} == {"agrees"}
