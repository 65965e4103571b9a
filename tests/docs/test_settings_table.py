"""The table of serving settings in the documentation: made from the definitions, and true."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from isocline.errors import UsageError
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.settings_table import replaced
from isocline.model.systemfile.serving import load_served
from isocline.model.systemfile.serving_schema import ServeEntry
from isocline.report.tables.serving import serving_document

PAGE = Path(__file__).parents[2] / "docs/settings.md"
MAKE = "python -m isocline.gateway.serve.settings_table docs/settings.md"
FLEET = """kind: routing
backends: [{name: a, url: "http://127.0.0.1:9001"}]
frontends: [{name: f, backends: [a]}]
"""
SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def test_the_page_has_the_tables_of_today() -> None:
    text = PAGE.read_text()
    assert replaced(text) == text, f"settings have changed; run: {MAKE}"


def test_a_page_without_the_tables_is_refused() -> None:
    with pytest.raises(UsageError, match="no tables to replace; add the lines"):
        replaced("# Serve\n")


def rows(title: str = "Keys of `serve`") -> dict[str, list[str]]:
    """Cells of one of the page's tables by key."""
    (table,) = re.findall(rf"^{title}:\n\n(.*?)\n\n", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {row[0].strip("`"): row for row in cells if row[0].startswith("`")}


def value_of(shown: str) -> Any:
    """A default as a file would give it."""
    number, _, unit = shown.partition(" ")
    if unit in SIZES:
        return int(number) * SIZES[unit]
    if unit == "s":
        return float(number)
    texts = [text.strip("`") for text in shown.split(", ")]
    if len(texts) > 1:
        return texts
    # YAML 1.1 takes a number without a point for text.
    return float(texts[0]) if "e-" in texts[0] else yaml.safe_load(texts[0])


def test_the_defaults_of_the_table_are_those_in_force(tmp_path: Path) -> None:
    """Each default of the page, written into a file, changes nothing."""
    file, serve = tmp_path / "fleet.yaml", dict[str, Any]()
    for key, (_, description, _, shown) in rows().items():
        assert description
        group, _, name = key.partition(".")
        if group in (
            "health",
            "cors",
            "learn",
            "admin_control",
            "tracing",
            "residency",
            "distance",
        ) or shown in (
            "",
            "none",
            "off",
            "needed",
        ):
            continue  # those groups are off, unless one of their keys is given
        if name:
            serve.setdefault(group, {})[name] = value_of(shown)
        else:
            serve[group] = value_of(shown)
    file.write_text(FLEET)
    assumed = serving_document(read(file))
    file.write_text(FLEET + yaml.safe_dump({"serve": serve}))
    assert load_served(file).serve == ServeEntry()
    assert serving_document(read(file)) == assumed
    assert len(serve) > 12


@pytest.mark.parametrize("group", ["health", "learn"])
def test_the_defaults_of_what_is_off_are_those_of_an_empty_group(
    tmp_path: Path, group: str
) -> None:
    shown = {key: row[-1] for key, row in rows().items() if key.startswith(f"{group}.")}
    given = {key.partition(".")[2]: value_of(it) for key, it in shown.items() if it != "none"}
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET + f"serve: {{{group}: {{}}}}")
    assumed = serving_document(read(file))
    file.write_text(FLEET + yaml.safe_dump({"serve": {group: given}}))
    assert serving_document(read(file)) == assumed
    assert len(given) >= 5


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("holding.most", "requests, at least 0"),
        ("times.idle", "s, above 0"),
        ("ejection.rate", "number, 0 to 1"),
        ("learn.false_alarms", "number, at least 0, below 1"),
        ("learn.work", "`requests`, `frontend`, `tokens`"),
        ("learn.kept", "completions, above 0"),
        ("stop_at_peak", "`true` or `false`"),
        ("policy", "text"),
        ("trusted", "list"),
        ("workers", "whole number, at least 1"),
    ],
)
def test_the_table_says_what_may_be_given(key: str, value: str) -> None:
    assert rows()[key][2] == value


def test_the_defaults_of_backends_and_frontends_are_those_in_force(tmp_path: Path) -> None:
    file, backend, frontend = tmp_path / "fleet.yaml", dict[str, Any](), dict[str, Any]()
    for title, entry in (("Keys of a backend", backend), ("Keys of a frontend", frontend)):
        for key, (_, description, _, shown) in rows(title).items():
            assert description
            group, _, name = key.partition(".")
            if shown not in ("", "none"):
                place = entry.setdefault(group, {}) if name else entry
                place[name or group] = value_of(shown)
    file.write_text(FLEET)
    assumed = serving_document(read(file))
    document = yaml.safe_load(FLEET)
    document["backends"][0] |= backend
    document["frontends"][0] |= frontend
    file.write_text(yaml.safe_dump(document))
    assert serving_document(read(file)) == assumed
    assert backend == {
        "report": "auto",
        "keep_host": True,
        "http2": False,
        "cache_ranks": 1,
        "weight": 1,
        "max_share": 1,
    }
    assert frontend == {"match": {"path": "/"}, "resend_unanswered": False}
