"""LINE: its discrete-event engine LDES, a native program, on a model file of its JSON format.

Routing `SQ` with d = 3 is LINE's power of d choices. Confidence intervals are off. The Python
package pins pandas below 3 and much more that LDES has no use for, so the program is taken from
the wheel alone, into a folder of its own in the environment.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rivals import ARRIVALS, CHOICES, SERVERS, Measured, UnavailableError

_FOLDER = Path(sys.prefix) / "rivals" / "line"
_ENGINE = _FOLDER / "line_solver" / "bin" / "ldes"
_WHEEL = "line-solver==3.0.8.0"


def measure(jobs: int, seed: int) -> Measured:
    engine = _engine()
    with tempfile.TemporaryDirectory() as folder:
        model, result = Path(folder) / "model.json", Path(folder) / "result.json"
        model.write_text(json.dumps(_model()))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [str(engine), "solve", str(model), "-o", str(result), "--samples", str(jobs)]
        _call([*command, "--seed", str(seed), "--cimethod", "none"])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = json.loads(result.read_text())
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # One service per job; CN is the mean time that a job of a chain spends in the system.
    return Measured(found["totalSimulatedEvents"], seconds, found["metrics"]["CN"][0][0])


def _engine() -> Path:
    if not _ENGINE.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call([*pip, "--no-deps", "--target", str(_FOLDER), _WHEEL])
    if not _ENGINE.exists():
        raise UnavailableError(f"{_WHEEL} has no LDES for this platform")
    return _ENGINE


def _call(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise UnavailableError("".join(error.stderr.strip().splitlines()[-1:])) from error
    except OSError as error:
        raise UnavailableError(error) from error


def _model() -> dict[str, object]:
    """A source, 100 queues, a sink, as `line_solver.io.linemodel_io.save_model` writes them."""
    queues = [f"Q{i}" for i in range(SERVERS)]

    def exponential(rate: float) -> dict[str, object]:
        return {"Jobs": {"type": "Exp", "params": {"lambda": rate}}}

    stations: list[dict[str, object]] = [
        {"name": q, "type": "Queue", "scheduling": "FCFS", "service": exponential(1.0)}
        for q in queues
    ]
    nodes: list[dict[str, object]] = [
        {"name": "Source", "type": "Source", "service": exponential(ARRIVALS)},
        *stations,
        {"name": "Sink", "type": "Sink"},
    ]
    links = {"Source": dict.fromkeys(queues, 1.0 / SERVERS)} | {q: {"Sink": 1.0} for q in queues}
    return {
        "format": "line-model",
        "version": "1.0",
        "model": {
            "type": "Network",
            "name": "JSQ",
            "nodes": nodes,
            "classes": [{"name": "Jobs", "type": "Open"}],
            "routing": {"type": "matrix", "matrix": {"Jobs,Jobs": links}},
            "routingStrategies": {"Source": {"Jobs": "SQ"}} | {q: {"Jobs": "RAND"} for q in queues},
            "routingParams": {"Source": {"Jobs": {"d": CHOICES}}},
        },
    }
