"""Arrivals, sizes and curves of a user's own whose stated means or functions are untrue."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import isocline
from isocline.errors import CurveError, UsageError
from tests.builders import mixed

SHORT: dict[str, Any] = {"horizon": 400.0, "warmup": 40.0, "replications": 2}


@dataclass(frozen=True)
class Spurts(isocline.Arrivals):
    """Groups of `size` jobs at random moments; `truth` times as many as it says."""

    per_second: float
    truth: float = 1.0
    size: int = 1
    is_stationary = True

    @property
    def rate(self) -> float:
        return self.per_second

    def sped_up(self, factor: float) -> "Spurts":
        return replace(self, per_second=self.per_second * factor)

    def sample(self, rng: np.random.Generator, until: float) -> Any:
        groups = rng.poisson(self.truth * self.per_second * until / self.size)
        return np.repeat(np.sort(rng.uniform(0.0, until, groups)), self.size)


@dataclass(frozen=True)
class Tide(Spurts):
    """No jobs in the first half of a long day, and all of them in the second."""

    is_stationary = False

    def sample(self, rng: np.random.Generator, until: float) -> Any:
        known = super().sample(rng, until)
        return known[known >= 350.0]


def brings(arrivals: Any) -> isocline.RoutingSystem:
    system = mixed()
    first, second = system.frontends
    return replace(system, frontends=(replace(first, arrivals=arrivals), second))


@pytest.mark.parametrize("size", [1, 20])
@pytest.mark.parametrize("seed", range(5))
def test_a_true_rate_is_believed_however_bursty(size: int, seed: int) -> None:
    found = isocline.simulate(brings(Spurts(12.0, 1.0, size)), ["jsq"], seed=seed, **SHORT)
    assert found.policies[0].mean_latency is not None


@pytest.mark.parametrize(("truth", "size"), [(0.8, 1), (0.3, 20), (0.0, 1), (1.3, 1)])
@pytest.mark.parametrize("load", [None, 0.6])
def test_an_untrue_rate_is_refused(truth: float, size: int, load: float | None) -> None:
    words = r"frontend 'f0': Spurts says rate .* jobs/s, but its sample gives .*; mend one of the"
    with pytest.raises(UsageError, match=words):
        isocline.simulate(brings(Spurts(12.0, truth, size)), ["jsq"], load=load, **SHORT)


def test_no_policy_undercuts_the_bound_where_the_rate_follows_the_hour() -> None:
    found = isocline.simulate(brings(Tide(12.0)), ["gmsr", "jsq"], **SHORT)
    for policy in found.policies:
        assert policy.mean_latency is not None
        assert policy.mean_latency.value >= found.lower_bound_latency


@dataclass(frozen=True)
class Halves(isocline.Sizes):
    """One thing wrong, by name."""

    what: str = "mean"

    def sample(self, rng: np.random.Generator, count: int) -> Any:
        if self.what == "raises":
            raise KeyError("size")
        sizes = rng.standard_exponential(count)
        if self.what == "nan":
            sizes[count // 2] = np.nan
        wrong = {"mean": 0.5 * sizes, "negative": -sizes, "few": sizes[1:], "one": 1.0}
        return wrong.get(self.what, sizes)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("mean", r"sizes: Halves.sample gives sizes of mean 0.[45]\d*; divide them by their mean"),
        ("nan", r"sizes: Halves.sample\(rng, 10000\) must give 10000 finite sizes above 0"),
        ("negative", r"must give 10000 finite sizes above 0"),
        ("few", r"must give 10000 finite sizes above 0"),
        ("one", r"must give 10000 finite sizes above 0"),
        ("raises", r"sizes: Halves.sample: KeyError: 'size' \(.*test_own_means.py:\d+\)"),
    ],
)
def test_sizes_that_are_none_are_refused(what: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        isocline.simulate(replace(mixed(), sizes=Halves(what)), ["jsq"], **SHORT)


def test_sizes_of_mean_one_are_believed() -> None:
    system = replace(mixed(), sizes=Halves("right"))
    assert isocline.simulate(system, ["jsq"], **SHORT).policies[0].mean_latency is not None


@dataclass(frozen=True)
class Stated(isocline.Arrivals):
    """A process with this for its rate."""

    rate: Any = 1.0
    is_stationary = True

    def sped_up(self, factor: float) -> Any:  # noqa: ARG002
        return None

    def sample(self, rng: np.random.Generator, until: float) -> Any:  # noqa: ARG002
        return np.zeros(0)


@pytest.mark.parametrize("rate", [np.nan, np.inf, -1.0, "8", None])
def test_a_rate_that_is_none_is_refused_where_the_frontend_is_made(rate: Any) -> None:
    with pytest.raises(UsageError, match=r"frontend 'f': Stated.rate is .*; make it a @property"):
        isocline.Frontend("f", Stated(rate))


def test_a_process_that_cannot_be_sped_up_is_refused() -> None:
    with pytest.raises(UsageError, match=r"frontend 'f0': sped_up by .* gives None; it must give"):
        isocline.simulate(brings(Stated(12.0)), ["jsq"], load=0.5, **SHORT)


@pytest.mark.parametrize("arrivals", [8.0, "poisson", isocline.PoissonArrivals])
def test_something_else_than_arrivals_is_refused(arrivals: Any) -> None:
    with pytest.raises(UsageError, match=r"frontend 'f': arrivals is .*; give a process, such as"):
        isocline.Frontend("f", arrivals)


@dataclass(frozen=True)
class Bent(isocline.Curve):
    """40 N / (N + 12) with one thing wrong."""

    what: str = ""

    @property
    def supremum(self) -> float:
        if self.what == "raises":
            raise KeyError("peak")
        return 40.0

    def rate(self, workload: Any) -> Any:
        n = np.asarray(workload, dtype=float)
        if self.what == "nan":
            return np.where(n == 2.0, np.nan, 40.0 * n / (n + 12.0))
        if self.what == "negative":
            return -n
        if self.what == "fails":
            raise IndexError("no such entry")
        return 40.0 * n / (n + 12.0)

    def marginal(self, workload: Any) -> Any:
        return 480.0 / (np.asarray(workload) + 12.0) ** 2

    def workload(self, rate: Any) -> Any:
        return 0.5 * super().workload(rate) if self.what == "inverse" else super().workload(rate)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nan", r"rate\(2\) is nan; it must be finite and >= 0"),
        ("negative", r"rate\(0.5\) is -0.5; it must be finite"),
        ("fails", r"rate: IndexError: no such entry \(.*test_own_means.py:\d+\)"),
        ("raises", r"supremum: KeyError: 'peak' \(.*test_own_means.py:\d+\)"),
        ("inverse", r"workload\(20\) is 6, but rate\(12\) is 20; workload must be the inverse of"),
    ],
)
def test_a_curve_is_checked_in_python_too(what: str, words: str) -> None:
    with pytest.raises(CurveError, match=rf"^curve .*Bent.*{words}"):
        isocline.Backend("b", Bent(what))


def test_a_sound_curve_is_taken() -> None:
    assert isocline.Backend("b", Bent()).curve.supremum == 40.0


@pytest.mark.parametrize("curve", [40.0, "hyperbolic", Bent, {"type": "hyperbolic"}])
def test_something_else_than_a_curve_is_refused(curve: Any) -> None:
    with pytest.raises(UsageError, match=r"backend 'b': curve is .*; give a curve, such as"):
        isocline.Backend("b", curve)
