"""Recording rules and alerts name what a router has, and each alert fires where it should."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.promql import DEPLOY, problems, rules

FOLDER = DEPLOY / "prometheus"
ALERTS = rules("alerts.yaml")
RECORDED = rules("recording.yaml")
PAGE = DEPLOY.parent / "docs/deploy.md"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)"
)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=300
    )


@needs_promtool
def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    done = promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout
    assert f"{len(RECORDED)} rules found" in done.stdout


@needs_promtool
def test_rules_do_what_their_tests_say() -> None:
    done = promtool("test", "rules", "tests.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_in_which_it_fires() -> None:
    tests: list[dict[str, Any]] = yaml.safe_load((FOLDER / "tests.yaml").read_text())["tests"]
    fired = {
        one["alertname"]
        for test in tests
        for one in test.get("alert_rule_test", ())
        if one["exp_alerts"]
    }
    assert fired == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize(
    "rule", [*ALERTS, *RECORDED], ids=lambda it: it.get("alert") or it["record"]
)
def test_a_rule_names_what_a_router_has(rule: dict[str, Any]) -> None:
    texts = rule.get("annotations", {}).values()
    assert list(problems(rule["expr"], *texts)) == []


def test_what_a_router_does_not_have_is_found() -> None:
    expression = 'sum by (frontend, colour) (rate(isocline_requests_total{status="500"}[5m]))'
    assert set(problems(expression, "{{ $labels.where }}")) == {
        "isocline_requests_total has no label status",
        f"no metric has label colour, in {expression}",
        f"no metric has label where, in {expression}",
    }
    assert list(problems("rate(isocline_request_total[5m]) > 0")) == [
        "no metric isocline_request_total"
    ]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda it: it["alert"])
def test_an_alert_says_how_urgent_it_is_and_is_explained(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert set(alert["annotations"]) == {"summary", "description"}
    assert f"`{alert['alert']}`" in PAGE.read_text()
