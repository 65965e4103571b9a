"""Dashboards are those of panels.yaml, and ask for what a router has."""

import copy
import importlib
import json
import re
import runpy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.promql import DEPLOY, problems

GRAFANA = DEPLOY / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
DASHBOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in FILES}


def queries() -> Iterator[tuple[str, str, str]]:
    """Panel, expression and legend of each query of each dashboard."""
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield f"{name}: {panel['title']}", target["expr"], target["legendFormat"]


def test_the_files_are_what_their_source_makes() -> None:
    made = runpy.run_path(str(GRAFANA / "build.py"))["dashboards"]()
    remedy = "run python deploy/grafana/build.py"
    assert {path.name: path.read_text() for path in FILES} == made, remedy


@pytest.mark.parametrize(("panel", "expression", "legend"), list(queries()))
def test_a_panel_asks_for_what_a_router_has(panel: str, expression: str, legend: str) -> None:
    assert list(problems(expression, legend)) == [], panel


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_whole(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == f"isocline-{name}"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] != "row":
            assert panel["targets"]
            assert panel["datasource"]["uid"] == "${datasource}"
    # Each variable that is used is there, and the other way round.
    variables = {it["name"] for it in dashboard["templating"]["list"]}
    text = json.dumps(panels)
    assert {it for it in variables if f"${it}" in text or f"${{{it}}}" in text} == variables


def test_variables_are_filled_from_series_that_a_router_always_has() -> None:
    for dashboard in DASHBOARDS.values():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                inside = variable["definition"].removeprefix("label_values(")
                series, _, label = inside.removesuffix(")").rpartition(", ")
                assert list(problems(f"count by ({label}) ({series})")) == []


# Grafana writes it beside `query`, and its own model of a dashboard does not have it.
NOT_IN_MODEL = re.compile(r"\.templating\.list\[\d\]\.definition")


def lost(written: Any, read: Any, at: str = "") -> Iterator[str]:
    """Where something that was written is not what was read."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from lost(value, read.get(key), f"{at}.{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for i, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(one, other, f"{at}[{i}]")
    elif written != read:
        yield at


def read_by_grafana(dashboard: dict[str, Any]) -> dict[str, Any]:
    """What Grafana's own model makes of a dashboard: it drops what it does not know."""
    reason = "needs grafana-foundation-sdk: pip install isocline[deploy]"
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason=reason)
    encoder = importlib.import_module("grafana_foundation_sdk.cog.encoder")
    importlib.import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    made = encoder.JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(dashboard))
    read: dict[str, Any] = json.loads(made)
    return read


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafanas_model_knows_all_that_is_in_it(name: str) -> None:
    dashboard = DASHBOARDS[name]
    unknown = [it for it in lost(dashboard, read_by_grafana(dashboard)) if it]
    assert [it for it in unknown if not NOT_IN_MODEL.fullmatch(it)] == []


def test_what_grafanas_model_does_not_know_is_found() -> None:
    dashboard = copy.deepcopy(DASHBOARDS["router"])
    dashboard["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    dashboard["panels"][1]["fieldConfig"]["defaults"]["thresholds"] = {
        "mode": "absolute",
        "step": [],
    }
    found = set(lost(dashboard, read_by_grafana(dashboard)))
    assert {it for it in found if "panels" in it} == {
        ".panels[1].fieldConfig.defaults.units",
        ".panels[1].fieldConfig.defaults.thresholds.step",
    }
