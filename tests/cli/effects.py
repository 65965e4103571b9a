"""Effects of command lines: what each prints, writes, and asks of the library.

Verbs that serve, send or start processes do not: their one call of the library is recorded, and
gets a result that was made by hand.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner

from isocline.cli import main
from isocline.errors import UsageError


def _results() -> dict[str, Callable[[], Any]]:
    from isocline.simulate.common.decision_diff import DecisionDiff
    from tests.report.dispatch_results import result
    from tests.report.gallery import durations, live
    from tests.report.pages.reading import routing_findings
    from tests.sweep.made import sweep

    return {
        "isocline.gateway.serve.main.run": lambda: None,
        "isocline.gateway.serve.control_client.ask": _answer,
        "isocline.planes.envoy.plane.run": lambda: None,
        "isocline.emulator.run": lambda: None,
        "isocline.loadgen.run_load": durations,
        "isocline.sweep.run_sweep": sweep,
        "isocline.dispatch.batch.runner.run_batch": result,
        "isocline.dispatch.batch.engine.cluster_engine": _no_cluster,
        "isocline.demo.run.demo": live,
        "isocline.gateway.replay.replay": lambda: DecisionDiff("routing", "gmsr", 1, None),
        "isocline.report.reproduce.Figures.make": _figure,
        "isocline.cli._warming.options_of_simulate": lambda: None,
        "isocline.cli._warming.envoy_module": lambda: None,
        "isocline.report.pages.findings.routing_findings": lambda: routing_findings(["h100"]),
        "isocline.report.pages.routing.routing_page": lambda: "<!doctype html>",
    }


def _no_cluster() -> Any:
    raise UsageError("no cluster in a test")


@cache
def _figure() -> Any:
    from isocline.report.reproduce import gmsr_tiers

    return gmsr_tiers.reproduce(True, 0)


def _answer() -> bytes:
    """Of a router with one backend, which drains."""
    backend = {
        "name": "a",
        "state": {"up": 1.0, "draining": 1.0, "ejected": 0.0, "full": 0.0},
        "in_flight": 0,
        "weight": 1.0,
        "max_share": 1.0,
        "learned": False,
        "changed_by": {},
    }
    found = {"changed": {"draining": [False, True]}, "backend": backend, "notes": []}
    return json.dumps(found | backend | {"backends": [backend]}).encode()


@cache
def effect(*words: str) -> str:
    """Exit status, output, files and recorded calls of one command line, as a text.

    Run once for all the options that are added to the same line.
    """
    calls: list[str] = []

    def recording(name: str, made: Callable[[], Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            calls.append(f"{name}{_plain(arguments)}{_plain(sorted(named.items()))}")
            return made()

        return call

    with tempfile.TemporaryDirectory() as folder:
        filled = [word.replace("DIR", folder) for word in words]
        verbs = dict.fromkeys(("plan", "simulate", "serve", "run"), lambda: None)
        with ExitStack() as patches:
            for name, made in _results().items():
                patches.enter_context(patch(name, recording(name, made)))
            patches.enter_context(patch.dict("isocline.cli._warming.VERBS", verbs))
            result = CliRunner().invoke(main, filled, prog_name="isocline")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        files = {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and path.suffix != ".csv"  # which has times of this machine
        }
        text = f"{result.exit_code}\n{result.stdout}\n{result.stderr}".replace(folder, "DIR")
    text = re.sub(r'"events_per_second": [^,\n]*|compiled in [\d.]+ s', "", text)
    text = re.sub(r'"seconds": [\d.e-]+', "", text)
    return f"{text}\n{files}\n{calls}"


def _plain(value: Any) -> str:
    """Arguments without the places of objects in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
