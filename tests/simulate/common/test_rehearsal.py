"""Compilation before the clock: replications ask for no kernel that their rehearsal has not."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

# Kernels asked for, from disk or the compiler, while replications run, in a process that has none
# yet. Each run takes the kernels that the runs before it have left out.
ASKED = """
import json
import isocline
from isocline.compilation.kernel_cache import KernelCache
from isocline.simulate.common.executor import OrderedExecutor

asked, timed = [], []
load, extend = KernelCache.load_overload, OrderedExecutor.extend

def asking(self, signature, context):
    asked.append(f"{self._py_func.__module__}.{self._py_func.__qualname__}")
    return load(self, signature, context)

def extending(self, total):
    asked.clear()
    extend(self, total)
    timed.extend(asked)

KernelCache.load_overload, OrderedExecutor.extend = asking, extending
system, cluster = (isocline.load(f"examples/{n}.yaml") for n in ("n_model", "small_cluster"))
options = dict(horizon=4000.0, warmup=400.0, replications=2, threads=1)
runs = {
    "means": dict(policies=["gmsr"], percentiles=False),
    "percentiles": dict(policies=["gmsr"]),
    "listed": dict(policies=["gmsr_hold"]),
    "slotted": dict(policies=["gmsr"], clock="slotted"),
    "delayed": dict(policies=["gmsr"], delay=isocline.Delay(travel=0.5, report=0.5, every=1.0)),
    "learned": dict(policies=["gmsr"], learn=isocline.Learning()),
}
found = {}
for name, run in runs.items():
    timed.clear()
    isocline.simulate(system, **options, **run)
    found[name] = sorted(timed)
timed.clear()
isocline.simulate(cluster, policies=["local_first"], **options)
found["cluster"] = sorted(timed)
print(json.dumps(found))
"""


def test_nothing_is_compiled_while_replications_are_timed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=dict(os.environ),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 7
    assert {name: kernels for name, kernels in found.items() if kernels} == {}
