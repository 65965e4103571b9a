"""Metrics and labels that a PromQL expression names, and those that a router has."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.gateway.metrics.test_exposition import documented

DEPLOY = Path(__file__).parents[2] / "deploy"
_OF_TARGET = {"job", "instance"}  # labels that Prometheus adds
_TEXT = re.compile(r'"[^"]*"')
_SELECTOR = re.compile(r"\b((?:\w+:)?(?:isocline|process)_\w+(?::\w+)?|up)\b(?!\s*\()(\{[^}]*\})?")
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


def rules(name: str) -> list[dict[str, Any]]:
    """Rules of a file in deploy/prometheus."""
    read = yaml.safe_load((DEPLOY / "prometheus" / name).read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


@functools.cache
def known() -> dict[str, set[str]]:
    """Labels of each series that a router has, or that is recorded."""
    series = {"up": set(_OF_TARGET)}
    for name, (kind, labels) in documented().items():
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for part in parts:
            le = {"le"} if part == "_bucket" else set()
            series[f"{name}{part}"] = {*labels, *_OF_TARGET, *le}
    for rule in rules("recording.yaml"):
        series[rule["record"]] = set(_grouped(rule["expr"]))
    return series


def problems(expression: str, *texts: str) -> Iterator[str]:
    """What an expression names that no router has; `texts` refer to labels of its result."""
    series = known()
    plain = _TEXT.sub('""', expression)
    selectors = _SELECTOR.findall(_GROUPED.sub("", plain))
    if not selectors:
        yield f"no metric in {expression}"
    there: set[str] = set()
    for name, matchers in selectors:
        if name not in series:
            yield f"no metric {name}"
        labels = series.get(name, set())
        there |= labels
        yield from (
            f"{name} has no label {it}" for it in _MATCHER.findall(matchers) if it not in labels
        )
    used = {*_grouped(plain), *(it for text in texts for it in _LEGEND.findall(text))}
    yield from (f"no metric has label {it}, in {expression}" for it in used - there)


def _grouped(expression: str) -> Iterator[str]:
    for labels in _GROUPED.findall(expression):
        yield from re.findall(r"\w+", labels)
