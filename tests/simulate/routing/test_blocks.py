"""The blocks of a run: a kernel that goes through them notes what one stopped at each does."""

import numpy as np
import pytest

from isocline.policies.parse import parse
from isocline.simulate.common.replication import Run
from isocline.simulate.common.run_settings import BATCH
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import Replication, replicate
from isocline.simulate.routing.run_settings import RunSettings
from isocline.simulate.routing.slowdown import Slowdown
from tests.builders import mixed

HORIZON = 300.0
# Of no effect: but whoever waits for it is stopped at the end of each block, by the interpreter.
AT_THE_END = (Slowdown("b0", 1.0, HORIZON * (1.0 - 1e-12)),)


@pytest.mark.parametrize("warmup", [None, 70.0])
@pytest.mark.parametrize("name", ["gmsr", "random"])
def test_blocks_do_not_depend_on_who_goes_through_them(name: str, warmup: float | None) -> None:
    prepared = prepare(mixed()).one_row_each()
    runs = RunSettings(HORIZON, warmup, 3), RunSettings(HORIZON, warmup, 3, slowdowns=AT_THE_END)
    by_kernel, by_interpreter = (replicate(Run(prepared, parse(name), run, 1)) for run in runs)
    assert by_kernel is not None
    assert by_interpreter is not None
    for one in ("arrivals", "completions", "timed", "snapshots", "late", "backend_jobs"):
        assert np.array_equal(getattr(by_kernel, one), getattr(by_interpreter, one)), one
    # To the last bit, but for the block that has the change in it.
    for one in ("jobs", "rate", "sojourn"):
        assert np.array_equal(getattr(by_kernel, one)[:-1], getattr(by_interpreter, one)[:-1]), one
    assert by_kernel.sojourn.sum() > 0.0
    assert len(by_kernel.latencies) == len(by_kernel.jobs) // BATCH


@pytest.mark.parametrize("percentiles", [True, False], ids=["timed", "means"])
def test_blocks_add_up_to_the_run(percentiles: bool) -> None:
    run = RunSettings(HORIZON, 70.0, start="fluid", percentiles=percentiles)
    prepared = prepare(mixed())
    found = replicate(Run(prepared, parse("jsq"), run))
    assert isinstance(found, Replication)
    first = np.round(prepared.optimum.workloads).sum()
    inside = first + np.cumsum(found.arrivals - found.completions)
    assert np.array_equal(found.snapshots.sum(axis=1), inside)
    quarter = np.arange(inside.size) * 4 // inside.size
    sums = [found.snapshots[quarter == q].sum(axis=0) for q in range(4)]
    assert np.allclose(found.late, np.array(sums[2:]) / (inside.size / 4))
    assert np.allclose(found.backend_jobs, sum(sums[1:]) / (0.75 * inside.size))
