"""Curves, arrivals and sizes of a user's own, from a file and from Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isocline
from isocline.errors import CurveError, SystemFileError, UsageError
from isocline.flow.prices import Prices
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from isocline.model.curves.own import own_curve
from isocline.model.systemfile.one_curve import read_curve

HERE = "tests.model.test_own"


@dataclass(frozen=True)
class Hyperbola(Curve):
    """A built-in curve written as a user would."""

    peak: float
    half: float

    @property
    def supremum(self) -> float:
        return self.peak

    def rate(self, workload: Any) -> Any:
        return self.peak * workload / (workload + self.half)

    def marginal(self, workload: Any) -> Any:
        return self.peak * self.half / (workload + self.half) ** 2


@dataclass(frozen=True)
class Bend(Curve):
    """A sharp knee, likewise."""

    peak: float
    knee: float

    @property
    def supremum(self) -> float:
        return self.peak

    def rate(self, workload: Any) -> Any:
        return KneeCurve(self.peak, self.knee, 4.0).rate(workload)

    def marginal(self, workload: Any) -> Any:
        return KneeCurve(self.peak, self.knee, 4.0).marginal(workload)


def test_a_curve_of_ones_own_is_what_it_computes() -> None:
    own = own_curve(f"{HERE}:Hyperbola", {"peak": 40.0, "half": 12.0})
    known = HyperbolicCurve(40.0, 12.0)
    rates, slopes = np.array([0.0, 1.0, 20.0, 39.99, 40.0]), np.array([1e-4, 1.0, 3.0, 10.0])
    pairs = [
        (own, known),
        (own.scaled(3.0), known.scaled(3.0)),
        (own.enlarged(5.0).scaled(0.5), known.enlarged(5.0).scaled(0.5)),
    ]
    for one, other in pairs:
        assert np.allclose(one.workload(rates), other.workload(rates), rtol=1e-12)
        assert np.allclose(one.workload_at(slopes), other.workload_at(slopes), rtol=1e-12)
        assert np.allclose(one.rate(rates), other.rate(rates), rtol=1e-14)
        assert np.allclose(one.marginal(rates), other.marginal(rates), rtol=1e-14)
        assert one.supremum == other.supremum
    assert str(own) == f"{{type: {HERE}:Hyperbola, peak: 40.0, half: 12.0}}"
    assert read_curve(str(own)) == own  # as it stands in a file


FILE = """
kind: routing
backends:
  - {{name: a, curve: {first}}}
  - {{name: b, curve: {second}}}
frontends:
  - {{name: f, rate: {rate}, backends: [a, b]}}
  - {{name: g, arrivals: {arrivals}, backends: [b]}}
sizes: {sizes}
"""
KNOWN = {
    "first": "{type: hyperbolic, peak: 40, half: 12}",
    "second": "{type: knee, peak: 20, knee: 8, sharpness: 4}",
    "rate": 20.0,
    "arrivals": "{type: poisson, rate: 5}",
    "sizes": "{type: exponential}",
}
OWN = {
    "first": f"{{type: {HERE}:Hyperbola, peak: 40, half: 12}}",
    "second": f"{{type: {HERE}:Bend, peak: 20, knee: 8}}",
}


def written(folder: Path, **entries: object) -> Path:
    path = folder / "system.yaml"
    path.write_text(FILE.format(**KNOWN | entries))
    return path


@pytest.mark.parametrize("rate", [1.0, 20.0, 48.0])
def test_the_optimum_is_that_of_the_same_curves_built_in(tmp_path: Path, rate: float) -> None:
    known = isocline.plan(isocline.load(written(tmp_path, rate=rate), kind="routing"))
    own = isocline.plan(isocline.load(written(tmp_path, rate=rate, **OWN), kind="routing"))
    assert own.status == known.status == "optimal"
    assert own.total_jobs == pytest.approx(known.total_jobs, rel=1e-8)
    for one, other in zip(own.backends, known.backends, strict=True):
        assert one.jobs == pytest.approx(other.jobs, rel=1e-3)


def test_routing_by_latency_and_infeasible_loads_have_answers_too(tmp_path: Path) -> None:
    known = isocline.load(written(tmp_path, rate=20.0), kind="routing")
    own = isocline.load(written(tmp_path, rate=20.0, **OWN), kind="routing")
    assert isocline.price_of_anarchy(own) == pytest.approx(
        isocline.price_of_anarchy(known), rel=1e-6
    )
    assert isocline.plan(isocline.load(written(tmp_path, rate=90.0, **OWN))).status == "infeasible"


def test_policies_meet_the_same_curves_in_the_simulator(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "policies": ["gmsr"], "horizon": 60.0, "warmup": 10.0, "replications": 2, "seed": 3,
        "percentiles": False,
    }  # fmt: skip
    known = isocline.simulate(isocline.load(written(tmp_path)), **options).policies[0]
    own = isocline.simulate(isocline.load(written(tmp_path, **OWN)), **options).policies[0]
    assert own.mean_jobs == known.mean_jobs


@dataclass(frozen=True)
class Wrong(Hyperbola):
    """Hyperbola with one thing wrong."""

    what: str = ""

    @property
    def supremum(self) -> float:
        return {"top": 400.0, "low": 30.0, "infinite": np.inf}.get(self.what, self.peak)

    def rate(self, workload: Any) -> Any:
        if self.what == "scalar":
            return 1.0
        if self.what == "math":
            return float(workload)
        return super().rate(workload) + (1.0 if self.what == "empty" else 0.0)

    def marginal(self, workload: Any) -> Any:
        if self.what == "convex":
            return self.peak * workload / (workload + self.half) ** 2
        return super().marginal(workload) * (2.0 if self.what == "derivative" else 1.0)


@dataclass
class Loose(Curve):
    """Not frozen, and so without a hash."""

    supremum = 1.0

    def rate(self, workload: Any) -> Any:
        return workload / (workload + 1.0)

    def marginal(self, workload: Any) -> Any:
        return 1.0 / (workload + 1.0) ** 2


class Half(Curve):
    """Lacks a function."""

    supremum = 1.0

    def rate(self, workload: Any) -> Any:
        return workload


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("top", "never reaches half of supremum|must be the least upper bound"),
        ("low", "above supremum, 30"),
        ("infinite", "supremum is inf"),
        ("scalar", r"rate gives shape \(\) for 5 workloads"),
        ("math", "rate fails for an array of workloads.*write it with numpy"),
        ("empty", r"rate\(0\) is 1"),
        ("convex", "marginal rises"),
        ("derivative", "must be the derivative of rate"),
    ],
)
def test_what_is_no_service_curve_is_said(what: str, words: str) -> None:
    with pytest.raises(CurveError, match=words):
        own_curve(f"{HERE}:Wrong", {"peak": 40.0, "half": 12.0, "what": what})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (f"{{type: {HERE}:Half}}", "lacks marginal"),
        (f"{{type: {HERE}:Loose}}", r"frozen=True"),
        (f"{{type: {HERE}:Hyperbola, peak: 4}}", "missing a required argument: 'half'; it takes"),
        (f"{{type: {HERE}:Hyperbola, peak: 4, half: x}}", "half 'x': give a number"),
        (f"{{type: {HERE}:Nobody}}", "has no Nobody"),
        (f"{{type: {HERE}:FILE}}", "derives from isocline.Curve"),
        ("{type: no.such:Thing}", "cannot import no.such"),
        ("{type: knew, peak: 4}", "did you mean 'knee'.*your own is named package.module:Class"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(SystemFileError, match=rf"system.yaml:4: backends\[0\] 'a'.*{words}"):
        isocline.load(written(tmp_path, first=entry))


def test_a_curve_without_a_price_says_what_to_do() -> None:
    class Flat(Hyperbola):
        strictly_concave = False

    with pytest.raises(UsageError, match=r"not strictly concave.*docs/own\.md.*Prices\.custom"):
        Prices.of_curves([Flat(9.0, 1.0)])


@dataclass(frozen=True)
class Pulses(isocline.Arrivals):
    every: float
    disorder: bool = False
    is_stationary = True  # read only, there

    @property
    def rate(self) -> float:
        return 1.0 / self.every

    def sped_up(self, factor: float) -> "Pulses":
        return Pulses(self.every / factor, self.disorder)

    def sample(self, rng: np.random.Generator, until: float) -> Any:  # noqa: ARG002
        times = np.arange(0.0, until, self.every)
        return times[::-1] if self.disorder else times


@dataclass(frozen=True)
class Alike(isocline.Sizes):
    def sample(self, rng: np.random.Generator, count: int) -> Any:  # noqa: ARG002
        return np.ones(count)


def test_arrivals_and_sizes_of_ones_own_are_simulated(tmp_path: Path) -> None:
    system = isocline.load(
        written(tmp_path, rate=1e-9, arrivals=f"{{type: {HERE}:Pulses, every: 0.5}}",
                sizes=f"{{type: {HERE}:Alike}}")
    )  # fmt: skip
    found = isocline.simulate(
        system, policies=["jsq"], horizon=100.0, warmup=10.0, replications=2, percentiles=False
    )
    # One job at a time in an empty backend: each takes 1 / l(1), as its size is 1.
    mean = found.policies[0].mean_latency
    assert mean is not None
    assert mean.value == pytest.approx(1.0 / float(KneeCurve(20, 8, 4).rate(1.0)), rel=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("every=soon", "Pulses: every 'soon': give a number"),
        ("every=0.5,disorder=maybe", "Pulses: disorder 'maybe': give True or False"),
    ],
)
def test_an_option_of_another_kind_is_named(options: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        isocline.simulate(isocline.load(written(tmp_path)), arrivals=f"{HERE}:Pulses:{options}")
    entry = "{type: " + f"{HERE}:Pulses, " + options.replace("=", ": ").replace(",", ", ") + "}"
    with pytest.raises(SystemFileError, match=words):
        isocline.load(written(tmp_path, arrivals=entry))


def test_arrivals_out_of_order_are_refused(tmp_path: Path) -> None:
    entry = f"{{type: {HERE}:Pulses, every: 0.5, disorder: true}}"
    system = isocline.load(written(tmp_path, arrivals=entry))
    with pytest.raises(UsageError, match=r"frontend 'g': Pulses.sample.*increasing times in \[0"):
        isocline.simulate(system, policies=["jsq"], horizon=50.0, warmup=5.0, replications=2)


@dataclass(frozen=True)
class Faulty(isocline.Arrivals):
    """Pulses with one thing wrong."""

    what: str
    every: Any = 1.0
    is_stationary = True

    @property
    def rate(self) -> float:
        return 1.0 / self.every  # type: ignore[no-any-return]

    def sped_up(self, factor: float) -> Any:
        if self.what in ("self", "none"):
            return self if self.what == "self" else None
        return Faulty(self.what, self.every / factor)

    def sample(self, rng: np.random.Generator, until: float) -> Any:  # noqa: ARG002
        if self.what == "raises":
            raise KeyError("hour")
        return ["soon", "later"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("what=words", r"frontend 'f': Faulty.sample: .*could not convert"),
        ("what=raises", r"frontend 'f': Faulty.sample: KeyError: 'hour' \(.*test_own.py:\d+\)"),
        ("what=none", r"Faulty:what=none': sped_up .* gives None; it must give arrivals of rate"),
        ("what=self", r"Faulty:what=self': sped_up .* gives rate 1; it must give arrivals of rate"),
        ("what=words,every=0", r"Faulty:what=words,every=0': ZeroDivisionError.*test_own.py:\d+"),
        ("what=words,every=abc", r"Faulty:what=words,every=abc': TypeError.*test_own.py:\d+"),
    ],
)
def test_faulty_arrivals_are_refused_by_name(tmp_path: Path, options: str, words: str) -> None:
    system = isocline.load(written(tmp_path, rate=20.0))
    with pytest.raises(UsageError, match=words):
        isocline.simulate(
            system,
            ["jsq"],
            arrivals=f"{HERE}:Faulty:{options}",
            horizon=50.0,
            warmup=5.0,
            replications=2,
        )
