"""What gmsr-delay and gmsr-layers show, held to what is known without simulation."""

from typing import Any, cast

import pytest

from isocline.report.reproduce import Reproduction
from isocline.report.reproduce.systems import mixed_fleet
from isocline.simulate.routing.scenario import scenario
from isocline.theory.routing.equilibrium import fluid_optimum, plan
from studies.gmsr_layers import sites
from tests.naive import birth_death_mean


@pytest.fixture(scope="module")
def delay(made: Any) -> Reproduction:
    return cast("Reproduction", made("gmsr-delay")[0])


@pytest.fixture(scope="module")
def layers(made: Any) -> Reproduction:
    return cast("Reproduction", made("gmsr-layers")[0])


def test_a_fixed_split_feels_no_delay_and_follows_birth_and_death(delay: Reproduction) -> None:
    best = plan(mixed_fleet())
    assert best.total_jobs is not None
    exact = sum(
        birth_death_mean(backend.rate, lambda n, c=curve: float(c.rate(n)), 1000)  # type: ignore[misc]
        for backend, curve in zip(best.backends, mixed_fleet().curves, strict=True)
    )
    rows = [row for row in delay.tables[""] if row["policy"] == "static_optimal"]
    assert len(rows) == 6
    for row in rows:
        # Twice the half-width of a 95 % interval of 3 replications: 98.7 %.
        half = row["ratio_to_bound_high"] - row["ratio_to_bound"]
        assert half < 0.2, "a test this loose would show nothing"
        assert abs(row["ratio_to_bound"] - exact / best.total_jobs) < 2 * half


def test_the_claims_about_delay_hold_with_another_seed(delay: Reproduction) -> None:
    assert all(claim.holds for claim in delay.claims)
    herding = {r["delay_over_latency"]: r for r in delay.tables[""] if r["policy"] == "gmsr"}
    ahead = {r["delay_over_latency"]: r for r in delay.tables[""] if r["policy"] == "gmsr_ahead"}
    for times in (1.0, 10.0):
        assert ahead[times]["ratio_to_bound_high"] < 0.6 * herding[times]["ratio_to_bound_low"]


def test_the_bound_of_two_layers_is_that_of_one(layers: Reproduction) -> None:
    for row in layers.tables[""]:
        flat = scenario(sites().flattened().system, load=row["load"]).system
        bound = fluid_optimum(flat).total_jobs / float(flat.rates.sum())
        assert row["lower_bound_latency"] == pytest.approx(bound, rel=1e-6)
        assert row["mean_latency_high"] > bound


def test_the_claims_about_layers_hold_with_another_seed(layers: Reproduction) -> None:
    assert all(claim.holds for claim in layers.claims)
