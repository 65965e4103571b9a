"""The picture of a live comparison and its data."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isocline.demo.results import LiveComparison
from isocline.report.export.files import write_picture, write_rows


def write_live(found: LiveComparison, directory: Path) -> list[Path]:
    """Write live.png, .svg and .csv: one row for each policy."""
    data = write_rows(directory / "live.csv", _rows(found))
    return [*write_picture(found.plot(), directory, "live"), data]


def _rows(found: LiveComparison) -> Iterator[Mapping[str, Any]]:
    """The document's, with intervals, jobs and the machine's part in columns of their own."""
    for row in found.rows():
        flat: dict[str, Any] = {}
        for key, value in row.items():
            if isinstance(value, dict):
                flat |= {f"{key}_{name}": entry for name, entry in value.items()}
            elif isinstance(value, list):
                flat |= {f"{key}_low": value[0], f"{key}_high": value[1]}
            else:
                flat[key] = value
        yield flat
