"""A directory for each node, by name or by a template; and locations of the files in them."""

import re
from collections.abc import Mapping
from glob import escape, glob
from pathlib import Path

from isocline.errors import UsageError

_NODE = "{node}"
_CACHE = "__pycache__"  # beside a job file that is Python


def node_directories(
    nodes: Mapping[str, str | Path] | str, folder: Path | None = None
) -> dict[str, Path]:
    """Directories by node.

    Args:
        nodes: A mapping; or a template such as `/mnt/{node}/data`, for each directory that fits it.
        folder: Where relative paths start; None: at the working directory.

    Raises:
        UsageError: A directory does not exist, or none fits the template.
    """
    folder = folder or Path()
    if isinstance(nodes, Mapping):
        found = {node: folder / directory for node, directory in nodes.items()}
        for node, directory in found.items():
            if not directory.is_dir():
                raise UsageError(f"locations: {node}: there is no directory {directory}")
        return found
    path = str(folder / nodes)
    before, mark, after = path.partition(_NODE)
    if not mark or _NODE in after:
        raise UsageError(
            f"locations: {nodes}: give {_NODE} once, where the node's name stands, as in "
            "/mnt/{node}/data"
        )
    names = re.compile(re.escape(before) + r"([^/]+)" + re.escape(after))
    paths = glob(f"{escape(before)}*{escape(after)}")  # noqa: PTH207 - may be absolute
    fits = ((names.fullmatch(at), Path(at)) for at in sorted(paths))
    found = {fit[1]: at for fit, at in fits if fit and fit[1] != _CACHE and at.is_dir()}
    if not found:
        raise UsageError(
            f"locations: no directory fits {path}; mount the nodes' directories there, or correct "
            "the path"
        )
    return found


def in_directories(
    nodes: Mapping[str, str | Path] | str, pattern: str = "**/*"
) -> dict[str, list[str]]:
    """Map the files below each node's directory to their nodes.

    A chunk is named by its path in the directory, with forward slashes.

    Args:
        nodes: Directories by node, or a template, see `node_directories`.
        pattern: Which files.

    Raises:
        UsageError: A directory does not exist, or may not be read.
    """
    found: dict[str, list[str]] = {}
    for node, root in node_directories(nodes).items():
        try:
            for path in sorted(root.glob(pattern)):
                if path.is_file():
                    found.setdefault(path.relative_to(root).as_posix(), []).append(node)
        except PermissionError as error:
            raise UsageError(
                f"locations: {node}: {error.filename} may not be read by this user"
            ) from error
    return found
