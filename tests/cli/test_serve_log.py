"""The log of a router as JSON: through reloads, dead workers and errors."""

import json
import os
import signal
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cli.served import Served, served, starting
from tests.gateway.proxies import refusing_port
from tests.running import alive

FILE = """\
kind: routing
backends:
  - {{name: b0, url: "http://127.0.0.1:{port}", curve: {{type: hyperbolic, peak: 9, half: 9}}}}
frontends: [{{name: all, backends: ["*"]}}]
serve: {{listen: "127.0.0.1:0", workers: 2, health: {{every: 0.05, fall: 1}}, {more}}}
"""


def lines(router: Served) -> list[dict[str, Any]]:
    """All that it said, each line of which is JSON."""
    found = [json.loads(line) for line in router.said]
    for line in found:
        datetime.fromisoformat(line["time"])
        assert line["level"] in ("info", "warning", "error", "fatal")
        assert line["event"]
        assert line["message"]
    return found


def write(file: Path, text: str) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(file)


def test_every_line_of_a_routers_life_is_json(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    with refusing_port() as port:
        write(file, FILE.format(port=port, more="log_format: json"))
        with served(file, "--admin", "127.0.0.1:0", serves='"event": "started"') as router:
            router.wait_for('"event": "backend.down"')
            write(file, FILE.format(port=port, more="log_format: json, drain: 7"))
            router.wait_for('"event": "reloaded"')
            write(file, FILE.format(port=port, more="nonsense: json"))
            router.wait_for('"event": "reload.failed"')
            write(file, FILE.format(port=port, more="log_format: text"))
            router.wait_for("serve.log_format cannot change")
            pid = int(router.wait_for(r'"worker.started".*"worker": 1, "pid": (\d+)')[1])
            assert alive(pid)
            os.kill(pid, signal.SIGKILL)
            router.wait_for('"worker.started".*"worker": 1,', times=2)
        found = lines(router)
    by_event = {line["event"]: line for line in found}
    started = by_event["started"]
    assert started["listeners"]["default"].startswith("http://127.0.0.1:")
    assert started["admin"].startswith("http://127.0.0.1:")
    assert (started["workers"], started["policy"]) == (2, "gmsr_secant")
    assert by_event["backend.down"]["backend"] == "b0"
    assert by_event["backend.down"]["process"] in ("worker 0", "worker 1")
    assert by_event["worker.ended"]["status"] == -9
    assert by_event["stopping"]["seconds"] == 7
    assert found[-1]["event"] == "stopped"


def test_what_prevents_a_start_is_json_too(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    with starting(file, "--log-format", "json", status=2) as router:
        router.process.wait()
    (line,) = lines(router)
    assert (line["event"], line["level"]) == ("failed", "error")
    assert "fleet.yaml" in line["message"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        file.write_text(FILE.format(port=9, more=""))
        options = ("--log-format", "json", "--workers", "1", "--listen", address)
        with starting(file, *options, status=2) as router:
            router.process.wait()
    assert {line["event"] for line in lines(router)} <= {"failed", "compiling"}
    assert "cannot listen on" in lines(router)[-1]["message"]
