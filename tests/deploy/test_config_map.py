"""A router in Kubernetes takes a changed config map or secret up without a restart."""

from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.cli.served import PATIENCE, served
from tests.deploy.config_map import MountedMap
from tests.live.processes import Counting, counting

SYSTEM = """kind: routing
backends:
  - {{name: {name}, url: "http://127.0.0.1:{port}", report: none,
     curve: {{type: hyperbolic, peak: 900, half: 3}}}}
frontends: [{{name: all, backends: ["*"]}}]
serve:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  api_keys: {{file: ../secret/keys}}
"""


def system(backend: Counting) -> dict[str, str]:
    return {"system.yaml": SYSTEM.format(name=backend.name, port=backend.port)}


def status(port: int, key: str, number: str) -> int:
    """The status of a request with this key."""
    headers = {"Authorization": f"Bearer {key}", "X-Id": number}
    request = Request(f"http://127.0.0.1:{port}/", headers=headers)
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[list[Counting]]:
    with counting(tmp_path, "one", "two") as started:
        yield started


def test_swapped_maps_are_taken_up_by_a_running_router(
    tmp_path: Path, backends: list[Counting]
) -> None:
    one, two = backends
    secret = MountedMap(tmp_path / "secret", {"keys": "first"})
    config = MountedMap(tmp_path / "config", system(one))
    with served(config.folder / "system.yaml") as router:
        assert status(router.port, "first", "a") == 200
        config.replace(system(two))
        router.wait_for("reloaded: ")
        assert status(router.port, "first", "b") == 200
        secret.replace({"keys": "second"})
        router.wait_for("reloaded: ", 2)
        assert status(router.port, "first", "c") == 401
        assert status(router.port, "second", "d") == 200
        # A mistake in the new one costs nothing, and its correction is taken up, too.
        config.replace({"system.yaml": "kind: routing\nbackends: 5\n"})
        router.wait_for("reload failed")
        assert "isocline_last_reload_refused 1.0" in router.asked("/metrics")
        assert status(router.port, "second", "e") == 200
        config.replace(system(one))
        router.wait_for("reloaded: ", 3)
        metrics = router.asked("/metrics")
        assert "isocline_last_reload_refused 0.0" in metrics
        assert 'isocline_reloads_total{outcome="taken"} 3.0' in metrics
        assert 'isocline_reloads_total{outcome="refused"} 1.0' in metrics
        assert status(router.port, "second", "f") == 200
    assert one.executed == ["a", "f"]
    assert two.executed == ["b", "d", "e"]
