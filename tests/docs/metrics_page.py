"""The tables of docs/metrics.md, from the exposition: `python -m tests.docs.metrics_page`.

Name, type and labels of each metric are those of a router's `/metrics`. The meaning is written by
hand; where there is none yet, it is the metric's own help.
"""

import re
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from isocline.gateway.metrics import prometheus
from tests.gateway.metrics.test_exposition import account, everything

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \|(?P<kind>[^|]*)\|(?P<labels>[^|]*)\|(?P<meaning>[^|]*)\|$")
# Beginnings of names, longest first, and a metric beside which a new one of this kind belongs.
NEIGHBOURS = {
    "isocline_backend_": "isocline_backend_state",
    "isocline_curve_": "isocline_curve_service_rate",
    "isocline_gap_": "isocline_optimality_gap",
    "isocline_capacity_": "isocline_optimality_gap",
    "isocline_request": "isocline_requests_total",
    "process_": "process_max_fds",
    "": "isocline_workers",
}


def exposed() -> dict[str, tuple[str, str]]:
    """Type and labels of each metric by name, in the order of the exposition."""
    families = text_string_to_metric_families(prometheus(everything(), account()).decode())
    return {_name(family): _cells(family) for family in families}


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _cells(family: Metric) -> tuple[str, str]:
    # The parser takes an info metric for the gauge that it is in this format.
    kind = "info" if family.name == "isocline_info" else family.type
    labels = dict.fromkeys(label for sample in family.samples for label in sample.labels)
    return kind, ", ".join(f"`{label}`" for label in labels if label != "le")


def helps() -> dict[str, str]:
    """Help of each metric by name."""
    families = text_string_to_metric_families(prometheus(everything(), account()).decode())
    return {_name(family): family.documentation for family in families}


def written(page: str) -> str:
    """Return the page with today's metrics: rows mended, removed, or added to a table."""
    found, helped = exposed(), helps()
    lines, missing = [], dict(found)
    for line in page.split("\n"):
        row = ROW.match(line)
        if row is None:
            lines.append(line)
        elif row["name"] in found:
            kind, labels = found[row["name"]]
            if set(re.findall(r"\w+", row["labels"])) == set(re.findall(r"\w+", labels)):
                labels = row["labels"].strip()  # in the order that reads best
            lines.append(_row(row["name"], (kind, labels), row["meaning"].strip()))
            missing.pop(row["name"], None)
    for name, cells in missing.items():
        _insert(lines, name, _row(name, cells, helped[name]))
    return "\n".join(lines)


def _row(name: str, cells: tuple[str, str], meaning: str) -> str:
    kind, labels = cells
    return f"| `{name}` | {kind} | {labels + ' ' if labels else ''}| {meaning} |"


def _insert(lines: list[str], name: str, row: str) -> None:
    """Put a row at the end of the table of its neighbour."""
    neighbour = next(it for start, it in NEIGHBOURS.items() if name.startswith(start))
    at = next(i for i, line in enumerate(lines) if line.startswith(f"| `{neighbour}` |"))
    while at + 1 < len(lines) and lines[at + 1].startswith("|"):
        at += 1
    lines.insert(at + 1, row)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
