"""Health of backends that are checked by several frontends."""

import logging
from pathlib import Path

import pytest

from isocline.planes.envoy.health import Health
from isocline.planes.envoy.statistics import Checked
from tests.planes.envoy.systems import content, settings

FRONTENDS = [{"name": name, "rate": 1.0, "backends": ["*"]} for name in ("eu", "us")]


def test_a_backend_is_up_while_all_that_check_it_agree(caplog: pytest.LogCaptureFixture) -> None:
    health = Health()
    with caplog.at_level(logging.INFO):
        assert not health.heard(Checked("eu", "fast", up=True))
        assert health.heard(Checked("eu", "fast", up=False, problem="status 500"))
        assert not health.heard(Checked("us", "fast", up=False, problem="status 500"))
        assert not health.heard(Checked("eu", "fast", up=True))
        assert not health.is_up("fast")
        assert health.is_up("slow")
        assert health.heard(Checked("us", "fast", up=True))
    assert caplog.messages == ["backend fast is down: status 500", "backend fast is up"]


def test_checks_that_are_no_longer_made_are_forgotten(tmp_path: Path) -> None:
    health = Health()
    for frontend in ("eu", "us"):
        health.heard(Checked(frontend, "fast", up=False))
    health.keep(settings(tmp_path, content(frontends=FRONTENDS[:1], health={})))
    assert not health.is_up("fast")
    assert health.heard(Checked("eu", "fast", up=True))
    health.heard(Checked("eu", "fast", up=False))
    health.keep(settings(tmp_path, content(frontends=FRONTENDS, health="off")))
    assert health.is_up("fast")
