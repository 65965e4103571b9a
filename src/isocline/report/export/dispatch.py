"""The pictures and files of a live run."""

from pathlib import Path

from isocline.dispatch.batch.result import BatchResult
from isocline.report.export.files import write_picture, write_rows


def write_run(result: BatchResult, directory: Path) -> list[Path]:
    """Write timeline.png, .svg and .csv, nodes.csv, and trace.json for ui.perfetto.dev."""
    return [
        *write_picture(result.plot(), directory, "timeline"),
        write_rows(directory / "timeline.csv", result.timeline.rows()),
        write_rows(directory / "nodes.csv", result.nodes()),
        result.timeline.write_trace(directory / "trace.json"),
    ]
