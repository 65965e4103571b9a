"""Write the dashboards from panels.yaml: `python deploy/grafana/build.py`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
FOLDER = HERE / "dashboards"

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_ALL = 'job=~"$job", instance=~"$instance"'
_MATCHERS = {
    "{%f": f'{{{_ALL}, frontend=~"$frontend"',
    "{%b": f'{{{_ALL}, backend=~"$backend"',
    "{%": f"{{{_ALL}",
}
# Series that every router has for each of its frontends and backends.
_SERIES = {"frontend": "isocline_requests_held_total", "backend": "isocline_backend_state"}
_HEIGHTS = {"stat": 4}  # others have 8
_OPTIONS: Mapping[str, Any] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "textMode": "auto"},
    "heatmap": {
        "calculate": False,
        "yAxis": {"unit": "s"},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
    },
    "state-timeline": {"showValue": "never", "mergeValues": True},
}


def dashboards() -> dict[str, str]:
    """The text of each dashboard, by the name of its file."""
    read: dict[str, Any] = yaml.safe_load((HERE / "panels.yaml").read_text(encoding="utf-8"))
    made = {f"{name}.json": _dashboard(name, **entry) for name, entry in read.items()}
    return {name: json.dumps(it, indent=1, ensure_ascii=False) + "\n" for name, it in made.items()}


def _dashboard(
    name: str, title: str, labels: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    link = {"type": "dashboards", "title": "Isocline", "tags": ["isocline"], "asDropdown": False}
    return {
        "uid": f"isocline-{name}",
        "title": title,
        "tags": ["isocline"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,  # a shared crosshair
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [link | {"includeVars": True, "keepTime": True}],
        "annotations": {"list": []},
        "templating": {"list": _variables(labels)},
        "panels": _laid_out(rows),
    }


def _variables(labels: Sequence[str]) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Data source", "type": "datasource"}
    return [
        source | {"query": "prometheus"},
        _variable("job", "isocline_info", "Router"),
        _variable("instance", 'isocline_info{job=~"$job"}', "Replica"),
        *(_variable(it, f"{_SERIES[it]}{{{_ALL}}}", it.capitalize()) for it in labels),
    ]


def _variable(name: str, series: str, label: str) -> dict[str, Any]:
    query = f"label_values({series}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 2,  # whenever the range of time changes
        "sort": 1,
    }


def _laid_out(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All panels, from left to right and from top to bottom."""
    made: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        heading = {"type": "row", "title": row["title"], "collapsed": False, "panels": []}
        made.append(
            {"id": len(made) + 1, **heading, "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}}
        )
        top, left, height = top + 1, 0, 0
        for panel in row["panels"]:
            width, tall = panel.get("width", 8), _HEIGHTS.get(panel.get("kind", ""), 8)
            if left + width > 24:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": width, "h": tall}
            made.append({"id": len(made) + 1, "gridPos": place, **_panel(panel)})
            left, height = left + width, max(height, tall)
        top += height
    return made


def _panel(panel: Mapping[str, Any]) -> dict[str, Any]:
    kind = panel.get("kind", "timeseries")
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel.get("text", ""),
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": _defaults(panel, kind), "overrides": []},
        "options": _OPTIONS[kind],
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": _SOURCE,
                "expr": _expanded(query["expr"]),
                "legendFormat": query.get("legend", "__auto"),
                "format": "heatmap" if kind == "heatmap" else "time_series",
                "range": True,
            }
            for i, query in enumerate(panel.get("queries") or _quantiles(**panel["quantiles"]))
        ],
    }


def _defaults(panel: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """How values are shown."""
    defaults: dict[str, Any] = {"unit": panel.get("unit", "short")}
    if not panel.get("signed"):
        defaults["min"] = 0
    if "colors" in panel:
        steps = [{"color": color, "value": value} for color, value in panel["colors"].items()]
        defaults |= {
            "color": {"mode": "thresholds"},
            "thresholds": {"mode": "absolute", "steps": steps},
        }
    if kind != "timeseries":
        return defaults
    stacked = panel.get("stacked", False)
    drawn: dict[str, Any] = {"fillOpacity": 25 if stacked else 5, "showPoints": "never"}
    drawn["lineWidth"] = 1
    if stacked:
        drawn["stacking"] = {"mode": "normal", "group": "A"}
    if panel.get("logarithmic"):
        drawn["scaleDistribution"] = {"type": "log", "log": 10}
        defaults.pop("min", None)
    return defaults | {"custom": drawn}


def _quantiles(of: str, by: str) -> list[dict[str, str]]:
    """The median, the 90th and the 99th percentile of a histogram, for each value of a label."""
    inside = f"sum by (le, {by}) (rate({of}_bucket{{%{by[0]}}}[$__rate_interval]))"
    return [
        {"expr": f"histogram_quantile({share}, {inside})", "legend": f"{{{{{by}}}}} {name}"}
        for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
    ]


def _expanded(query: str) -> str:
    for sign, matchers in _MATCHERS.items():
        query = query.replace(sign, matchers)
    return query


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in dashboards().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
