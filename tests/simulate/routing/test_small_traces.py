"""Traces with hardly anything in them: a sensible answer, or an error that says what to do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isocline
from isocline.errors import UsageError
from isocline.model.cluster import Cluster, Rates, SampledTasks
from isocline.model.replay import with_trace
from tests.builders import mixed


def trace(times: Any, output: Any = None) -> isocline.Trace:
    ones = np.ones(len(times))
    return isocline.Trace("t", times, ones, ones if output is None else output)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (trace([0.0]), "trace t: it holds one request, so that it has no rate; give two or more"),
        (trace(np.zeros(5)), "trace t: all its requests come at one time, so that it has no rate"),
        (trace(np.arange(9.0), np.zeros(9)), "trace t: its requests hold no work at prefill 0"),
    ],
)
def test_one_without_a_rate_or_work_is_refused_by_every_verb(
    given: isocline.Trace, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        isocline.simulate(mixed(), ["jsq"], trace=given, replications=2)
    with pytest.raises(UsageError, match=words):
        isocline.plan(with_trace(mixed(), given))


@pytest.mark.parametrize("load", [None, 0.5])
def test_one_with_constant_columns_is_replayed(load: float | None) -> None:
    """Equal gaps and equal sizes, and a burst of jobs that come at one instant."""
    for times in (np.arange(300.0), np.append(np.zeros(300), 5.0)):
        found = isocline.simulate(
            mixed(), ["jsq", "gmsr"], trace=trace(times), load=load, replications=2
        )
        for policy in found.policies:
            assert policy.mean_latency is not None
            assert policy.mean_latency.value >= (1.0 - 1e-9) * found.lower_bound_latency > 0.0
            assert policy.completed == 2 * times.size


def test_curves_are_not_learned_from_a_trace() -> None:
    with pytest.raises(
        UsageError,
        match="learned curves cannot be simulated with a trace; leave one of the two out",
    ):
        isocline.simulate(
            mixed(),
            ["gmsr"],
            trace=trace(np.arange(300.0)),
            learn=isocline.Learning(),
            replications=2,
        )


def test_one_job_of_a_block_trace_has_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "one.swim"
    path.write_text("j0\t0\t0\t1000000\t0\t0\n")
    cluster = Cluster.numbered(4, Rates(local=1.0, remote=0.5), SampledTasks(2, 2.0))
    with pytest.raises(UsageError, match=r"one.swim: it holds one job, so that it has no rate"):
        isocline.simulate(cluster, ["fifo"], trace=isocline.read_swim(path), replications=2)


def test_a_system_of_a_sound_trace_has_its_rate() -> None:
    system = replace(mixed(), trace=None)
    assert with_trace(system, trace(np.arange(300.0))).rates.sum() == pytest.approx(1.0)
