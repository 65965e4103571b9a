"""Loading of a job file, by its suffix."""

import os
from pathlib import Path

from isocline.dispatch.batch.spec import Batch
from isocline.dispatch.locations.source import read_source
from isocline.errors import UsageError


def load_batch(path: str | os.PathLike[str], locations: str | None = None) -> Batch:
    """Read a Python or YAML job file.

    A Python file is executed, like `python FILE.py`, but its `__name__` is not `__main__`.

    Args:
        path: The file.
        locations: Source of locations in place of the file's, see `read_source`.

    Raises:
        UsageError: It is neither, or an invalid Python file, or the source cannot be used; the
            message names the place.
        MissingExtraError: A library that the source needs is not installed.
        SystemFileError: It is an invalid YAML file; the message names file, line and field.
    """
    file = Path(path)
    source = None if locations is None else read_source(locations)
    match file.suffix:
        case ".py":
            from isocline.dispatch.batch.from_python import python_batch  # noqa: PLC0415

            return python_batch(file, source)
        case ".yaml" | ".yml":
            from isocline.dispatch.batch.from_yaml import yaml_batch  # noqa: PLC0415

            return yaml_batch(file, source)
    raise UsageError(f"{file}: is neither FILE.py nor FILE.yaml; give a job as one of these")
