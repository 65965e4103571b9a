"""Modules of a process that serves: what it decides with takes none of the large libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

# Of scipy numba loads what asks for its version, and no part that computes.
SCRIPT = """
import sys
from pathlib import Path

from isocline.gateway.core.actions import Send
from isocline.gateway.serve import main, worker_main  # of the router and of its workers
from isocline.gateway.serve.compiled_apart import compile_apart
from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.from_file import opened, serving_of
from isocline.gateway.serve.learning import learner_of, measure_for
from isocline.gateway.serve.worker_core import make_core, warm

serving = serving_of(opened(Path("system.yaml")), Overrides(policy=sys.argv[1]))
compile_apart(lambda: warm(serving))  # the compiler takes scipy for its linear algebra
warm(serving)
core = make_core(serving, learner_of(serving, None), measure_for(serving, None))
for i in range(400):
    sent = core.arrived(0.01 * i, 0)
    if isinstance(sent, Send):
        core.finished(sent.request, 0.01 * i + 0.005)
    core.tick(0.01 * i)
assert core.feedback is None or core.feedback.learner.fitted(0).completions > 10
loaded = {name.partition(".")[0] for name in sys.modules}
heavy = {"IPython", "PIL", "dask", "matplotlib", "pandas", "pyarrow", "ray", "rich", "tornado"}
print(sorted(loaded & heavy))
print([name for name in ("scipy.linalg", "scipy.optimize", "scipy.sparse", "scipy.special")
       if name in sys.modules])
print([name for name in sys.modules if name.startswith(
    ("isocline.simulate", "isocline.report", "isocline.demo", "isocline.dispatch",
     "isocline.loadgen", "isocline.emulator", "isocline.planes"))])
"""
SYSTEM = """
kind: routing
frontends: [{name: all, arrivals: {type: poisson, rate: 10}, backends: ["*"]}]
backends:
  - {name: a, url: "http://127.0.0.1:9001"CURVE}
  - {name: b, url: "http://127.0.0.1:9002"CURVE}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a first start compiles in itself")
@pytest.mark.parametrize(
    ("curve", "policy"),
    [("", "gmsr_secant"), (", curve: {type: hyperbolic, peak: 100, half: 4}", "static_optimal")],
    ids=["learned", "given"],
)
def test_what_a_worker_decides_with_takes_no_large_library(
    tmp_path: Path, curve: str, policy: str
) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM.replace("CURVE", curve))
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT, policy],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == ["[]", "[]", "[]"]
