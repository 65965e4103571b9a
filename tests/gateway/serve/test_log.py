"""Operator's log as text: each event is one line, whatever names are in it."""

import io
import logging

import pytest

from isocline.gateway.serve.log import LOG, log_to_stderr


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard error, to which the router logs as text."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr(LOG, "handlers", [])
    monkeypatch.setattr(LOG, "propagate", True)
    monkeypatch.setattr(LOG, "level", logging.NOTSET)
    log_to_stderr("text")
    return written


def test_a_name_cannot_forge_a_line_or_move_the_cursor(written: io.StringIO) -> None:
    LOG.warning("backend %s is down", "a\n2026-11-30T00:00:00Z forged\x1b[31m")
    LOG.warning("backend %s is down", "caf\u00e9")
    first, second = written.getvalue().splitlines()
    assert first.endswith(r"backend a\n2026-11-30T00:00:00Z forged\x1b[31m is down")
    assert second.endswith("backend caf\u00e9 is down")


def test_a_traceback_keeps_its_lines(written: io.StringIO) -> None:
    try:
        raise ValueError("of ours")
    except ValueError:
        LOG.exception("crashed")
    assert len(written.getvalue().splitlines()) > 3
