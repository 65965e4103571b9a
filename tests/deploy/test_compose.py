"""The compose file is valid, and its services find each other."""

import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from isocline.cli import main
from tests.deploy.promql import DEPLOY
from tests.deploy.tools import run, tool

FILE = DEPLOY / "compose.yaml"


@cache
def services() -> dict[str, dict[str, Any]]:
    """Services, as Docker Compose itself reads them."""
    command = (
        tool("docker-compose"),
        "--file",
        FILE,
        "--profile",
        "load",
        "config",
        "--format=json",
    )
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning either
    read: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return read


def test_what_is_mounted_is_there() -> None:
    mounts = [it for service in services().values() for it in service.get("volumes", ())]
    binds = [it for it in mounts if it["type"] == "bind"]
    assert len(binds) == 4
    for bind in binds:
        assert Path(bind["source"]).is_dir(), bind  # folders: a mounted file never changes
        assert bind["read_only"]


def test_only_this_machine_reaches_it() -> None:
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert len({port["published"] for port in ports}) == len(ports) == 4


def test_whom_they_ask_is_a_service_that_listens_there() -> None:
    system = yaml.safe_load((DEPLOY / "compose/system.yaml").read_text())
    prometheus = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    source = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )
    asked = {urlsplit(it["url"]).netloc for it in system["backends"]}
    for name in asked:
        host, _, port = name.partition(":")
        assert f"--listen=0.0.0.0:{port}" in services()[host]["command"]
    assert "router" in services()
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["router:9090"]}]
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert "prometheus" in services()


@pytest.mark.parametrize("name", ["big-1", "little", "load"])
def test_commands_are_ones_that_isocline_takes(name: str) -> None:
    """A mistake in an option is found before anything is started, so that --help is never shown."""
    verb, *options = services()[name]["command"]
    taken = CliRunner().invoke(main, [verb, *options, "--help"])
    assert taken.exit_code == 0
    wrong = CliRunner().invoke(main, [verb, *options, "--no-such-option"])
    assert "No such option" in wrong.output
    assert "--no-such-option" in wrong.output


def test_the_router_has_time_to_drain() -> None:
    system = yaml.safe_load((DEPLOY / "compose/system.yaml").read_text())["serve"]
    grace = services()["router"]["stop_grace_period"]
    assert grace == "40s"
    assert system["drain"] + system.get("drain_delay", 0) <= 40 - 5


def test_containers_have_no_rights() -> None:
    for name, service in services().items():
        if service["image"] == "isocline":
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_dashboards_and_source_are_where_grafana_looks() -> None:
    grafana = services()["grafana"]
    mounted = {it["target"]: Path(it["source"]) for it in grafana["volumes"]}
    provider = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/dashboards/isocline.yaml").read_text()
    )["providers"][0]
    assert list(mounted[provider["options"]["path"]].glob("*.json"))
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounted[str(home.parent)] / home.name).is_file()
