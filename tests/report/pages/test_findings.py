"""What is computed for a page: loads in their order, within the time, and what is left out."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest

import isocline
from isocline.errors import InfeasibleError, UsageError
from isocline.report.pages import findings
from isocline.report.pages.findings import Effort, OutOfTime, Stopwatch, routing_findings
from tests.report.routing_results import make


def test_a_stopwatch_counts_what_lies_between_ticks_and_pauses() -> None:
    clock = itertools.count(0.0, 1.0)
    watch = Stopwatch(2.5, lambda: next(clock))
    watch.tick()  # begins at 0, looks at 1
    watch.pause()  # at 2
    assert watch.spent == 2.0
    with pytest.raises(OutOfTime):
        watch.tick()  # begins at 3, looks at 4: three in all


def test_a_stopwatch_ends_what_takes_too_long() -> None:
    clock = iter([0.0, 1.0, 9.0])
    watch = Stopwatch(2.5, lambda: next(clock))
    watch.tick()
    with pytest.raises(OutOfTime):
        watch.tick()


SIMULATE = "isocline.report.pages.findings.routing.simulate"


@dataclass
class Simulator:
    """In place of simulations: each load takes `cost` s of virtual time, in two replications."""

    cost: float
    now: float = 0.0

    def __post_init__(self) -> None:
        self.loads: list[float | None] = []

    def __call__(self, *_: object, **options: Any) -> Any:
        self.loads.append(options["load"])
        options["progress"](0, 2)
        for done in (1, 2):
            self.now += self.cost / 2
            try:
                options["progress"](done, 2)
            except KeyboardInterrupt:
                if done == 1:
                    raise
                return replace(make(options["load"] or 0.7), interrupted=True)
        return make(options["load"] or 0.7)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Simulator:
    made = Simulator(1.0)
    monkeypatch.setattr(SIMULATE, made)
    real = Stopwatch
    monkeypatch.setattr(findings, "Stopwatch", lambda most: real(most, lambda: made.now))
    return made


SYSTEM = isocline.load("examples/n_model.yaml")  # at 0.5 of its capacity


def test_the_load_of_the_file_comes_first_and_loads_alike_are_one(simulator: Simulator) -> None:
    found = routing_findings(SYSTEM, Effort(loads=(0.9, 0.51, 0.3)))
    assert simulator.loads == [None, 0.9, 0.3]
    assert [one.load for one in found.policies.all] == [0.3, 0.7, 0.9]
    assert found.policies.own is not None
    assert found.policies.left_out == ()


def test_when_the_time_is_over_what_is_finished_stays(simulator: Simulator) -> None:
    found = routing_findings(SYSTEM, Effort(seconds=1.8, loads=(0.9, 0.3)))
    assert [one.load for one in found.policies.all] == [0.7, 0.9]
    assert found.policies.all[1].interrupted
    assert "load 0.300, as the 1.8 s for simulations were over" in found.policies.left_out[0]
    assert simulator.loads == [None, 0.9]


def test_without_two_replications_in_time_there_is_none(simulator: Simulator) -> None:
    simulator.cost = 100.0
    found = routing_findings(SYSTEM, Effort(seconds=1.0, loads=(0.9,)))
    assert found.policies.all == ()
    assert found.policies.own is None
    assert "load 0.500, 0.900, as the 1 s" in found.policies.left_out[0]


def test_a_run_that_is_too_long_is_left_out() -> None:
    found = routing_findings(SYSTEM, Effort(seconds=1e-3, loads=(0.9,)))
    assert found.policies.left_out == (
        "Not simulated: load 0.500, 0.900, where a run of the usual length has too many events for "
        "the time; give more --seconds",
    )


def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SIMULATE, interrupt)
    with pytest.raises(KeyboardInterrupt):
        routing_findings(SYSTEM, Effort())


def test_a_load_that_cannot_be_simulated_is_left_out_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def simulate(*_: object, **options: Any) -> Any:
        if options["load"] == 1.2:
            raise InfeasibleError(["f"], ["b"], 2.0, 1.0)
        if options["load"] == 0.9:
            raise UsageError("no such thing")
        return make(0.7)

    monkeypatch.setattr(SIMULATE, simulate)
    found = routing_findings(SYSTEM, Effort(loads=(1.2, 0.9)))
    assert found.policies.left_out == (
        "Not simulated: load 1.20, which no policy can serve",
        "Not simulated at load 0.900: no such thing",
    )
    document = found.to_dict()
    assert document["plan"]["status"] == "optimal"
    assert document["left_out"] == list(found.policies.left_out)
