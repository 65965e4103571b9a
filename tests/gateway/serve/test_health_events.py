"""Health events, from a monitor to a core and to the log."""

from pathlib import Path

import pytest

from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.health_events import CoreHealthEvents
from isocline.gateway.serve.worker_core import make_core

FILE = """kind: routing
backends: [{name: a, url: "http://127.0.0.1:9001"}, {name: b, url: "http://127.0.0.1:9002"}]
frontends: [{name: all, backends: ["*"]}]
"""


def test_a_reload_does_not_say_again_that_a_backend_is_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fleet.yaml").write_text(FILE)
    core = make_core(read(tmp_path / "fleet.yaml"))
    events = CoreHealthEvents(core, ["a", "b"], clock=lambda: 1.0)
    events.backend_down(0, known=True)
    assert not core.availability.candidates.up[0]
    assert caplog.messages == []
    events.backend_down(1)
    assert caplog.messages == ["backend b is down"]
