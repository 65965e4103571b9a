"""Warm starts of a verb: modules, kernels and parts of numba that it must not load."""

import gc
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isocline.cli._imports import uncollected

ROOT = Path(__file__).parents[2]

# Run in a process of its own: the modules it imported, the kernels it asked the cache for and those
# of them that were missing, and whether numba's runtime was compiled, which takes 20 ms.
STARTED = """
import atexit, gc, json, sys
from isocline.compilation.kernel_cache import KernelCache
asked, missed = [], []
load = KernelCache.load_overload
def asking(self, sig, context):
    name = f"{self._py_func.__module__}.{self._py_func.__qualname__}"
    found = load(self, sig, context)
    asked.append(name)
    if found is None:
        missed.append(name)
    return found
KernelCache.load_overload = asking
def tell():
    from numba.core.runtime import rtsys
    try:
        runtime = bool(rtsys.library)
    except RuntimeError:  # it was not needed
        runtime = False
    told = {"modules": [*sys.modules], "asked": asked, "missed": missed, "runtime": runtime}
    told |= {"exempt": gc.get_freeze_count(), "tracked": len(gc.get_objects())}
    told |= {"collects": gc.isenabled()}
    print("STARTED", json.dumps(told), file=sys.stderr)
atexit.register(tell)
from isocline.cli import main
sys.argv = ["isocline", *sys.argv[1:]]
main()
"""


def started(*command: str) -> dict[str, Any]:
    """A warm start: one that compiled something is done again."""
    found: dict[str, Any] = {"missed": [""]}
    for _ in range(3):  # another process may lose what this one keeps: numba locks no index
        if not found["missed"]:
            break
        done = subprocess.run(
            [sys.executable, "-c", STARTED, *command],
            cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (line,) = [row for row in done.stderr.splitlines() if row.startswith("STARTED ")]
        found = json.loads(line.removeprefix("STARTED "))
    assert not found["missed"]
    return found


NOT_NEEDED = {
    "pydantic",
    "isocline.model.systemfile.schema",
    "isocline.policies.routing.prequal",
    "isocline.policies.routing.dgd_lb",
    "isocline.model.serving_settings",
    "isocline.model.systemfile.serving_schema",
    "isocline.model.systemfile.discovery_schema",
    "isocline.learn.learner",
    "isocline.learn.fit",
    "isocline.simulate.routing.learning_engine",
    "isocline.simulate.routing.delayed_engine",
    "isocline.simulate.routing.holding_engine",
    "isocline.simulate.routing.slotted_engine",
    "isocline.simulate.scheduling",
    "isocline.theory.routing.convergence",
    "isocline.theory.routing.hindsight",
    "isocline.theory.routing.latency_routing",
    "isocline.report.plots.style",
    "rich.progress",
    "scipy.special",
    "scipy.sparse",
    "scipy.optimize",
    "numba.np.arrayobj",
    "matplotlib",
    "pandas",
}


def test_a_warm_simulation_loads_only_what_it_runs() -> None:
    found = started("simulate", "examples/n_model.yaml", "--horizon", "2000")
    assert NOT_NEEDED.isdisjoint(found["modules"])
    # Two forms of the kernel: four of the policies differ by tables alone.
    kernels = "isocline.simulate.routing.kernels"
    wanted = [f"{kernels}.job_arena.reserve", *2 * [f"{kernels}.tracked_chain.track"]]
    assert sorted(found["asked"]) == wanted
    assert not found["runtime"]
    assert found["collects"]
    assert found["exempt"] > found["tracked"]  # most objects are those of modules


OF_SIMULATIONS = {
    "pydantic",
    "isocline.model.systemfile.schema",
    "isocline.policies.routing",
    "isocline.simulate.routing.compare",
    "numba",
    "scipy",
}
LOADED = """
import sys
from isocline.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_plan_loads_neither_compiler_nor_schemas(form: str) -> None:
    command = ["plan", "examples/mixed_fleet.yaml", *(["--json"] if form == "json" else [])]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *command],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    (line,) = [row for row in done.stderr.splitlines() if row.startswith("LOADED ")]
    modules = set(line.split())
    assert OF_SIMULATIONS.isdisjoint(modules)
    assert ("rich" in modules) == (form == "table")


def test_collection_pauses_for_imports_alone() -> None:
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError), uncollected():
        importlib.import_module("isocline.no_such_module")
    assert gc.isenabled()
    # The fixture of all tests exempts what it wants. None is added; some may have ended since.
    assert 0 < gc.get_freeze_count() <= frozen
    gc.disable()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()  # as before
    finally:
        gc.enable()


RUNTIME = """
import numpy as np
from isocline.simulate.common.kernels.alias_tables import alias, _fill
weights = np.arange(1.0, 301.0)
table = alias(weights)
share = table.threshold / 2.0**40
mass = share + np.bincount(table.other, 1.0 - share, minlength=share.size)
right = np.allclose(mass / mass.size, weights / weights.sum(), atol=1e-9)
print(right, _fill.compiled.stats.cache_hits.total())
"""


def test_code_that_makes_arrays_finds_the_runtime_it_needs(tmp_path: Path) -> None:
    """Loaded before all other code, without the runtime it would abort its process."""
    for hits in (0, 1):
        done = subprocess.run(
            [sys.executable, "-c", RUNTIME],
            cwd=ROOT, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["True", str(hits)]
