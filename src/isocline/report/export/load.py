"""The picture of a run of load and its data."""

from pathlib import Path

from isocline.loadgen.results import LoadResult
from isocline.report.export.files import write_picture, write_rows


def write_load(result: LoadResult, directory: Path) -> list[Path]:
    """Write load.png, .svg and .csv: durations over the share that is at most as long."""
    rows = (
        {"of": name, "share": share, "seconds": seconds}
        for name, found in result.distributions().items()
        if found is not None
        for share, seconds in found.curve
    )
    data = write_rows(directory / "load.csv", rows)
    return [*write_picture(result.plot(), directory, "load"), data]
