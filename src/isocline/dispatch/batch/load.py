"""Loading of a job file, by its suffix."""

import os
from pathlib import Path

from isocline.dispatch.batch.spec import Batch
from isocline.errors import UsageError


def load_batch(path: str | os.PathLike[str]) -> Batch:
    """Read FILE.py, or a YAML file.

    A Python file is run, as `python FILE.py` would, under another name than `__main__`.

    Raises:
        UsageError: It is neither, or a Python file cannot be used; the message names the place.
        SystemFileError: A YAML file cannot be used; the message names file, line and field.
    """
    file = Path(path)
    match file.suffix:
        case ".py":
            from isocline.dispatch.batch.from_python import python_batch  # noqa: PLC0415

            return python_batch(file)
        case ".yaml" | ".yml":
            from isocline.dispatch.batch.from_yaml import yaml_batch  # noqa: PLC0415

            return yaml_batch(file)
    raise UsageError(f"{file}: is neither FILE.py nor FILE.yaml; give a job as one of these")
