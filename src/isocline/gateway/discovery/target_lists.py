"""Lists of targets in the format of Prometheus' file_sd_configs: JSON or YAML, read and written."""

import json
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from isocline.gateway.discovery.source import SourceError
from isocline.model.endpoint import Endpoint, is_address, name_problem, port_problem, shown
from isocline.model.systemfile.document import CoreLoader, LongNumberError

_FORM = "give a list of {targets: [HOST:PORT, ...], labels: {...}}"
# Label that names the target of a group with only one; without it, the name is HOST:PORT.
NAME = "name"


def parsed(text: str, where: str) -> list[Endpoint]:
    """Read a list; a target listed twice counts once, with the labels of the first.

    Raises:
        SourceError: The text is not such a list; the message begins with `where`.
    """
    try:
        groups = _loaded(text)
    except LongNumberError as error:
        raise SourceError(f"{where}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise SourceError(f"{where}: is neither JSON nor YAML: {problem}") from error
    if not isinstance(groups, list):
        raise SourceError(f"{where}: is not a list; {_FORM}")
    found: dict[str, Endpoint] = {}
    for i, group in enumerate(groups):
        for endpoint in _group(group, f"{where}: [{i}]"):
            found.setdefault(endpoint.name, endpoint)
    return list(found.values())


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)  # first, as not all JSON is YAML: surrogate pairs are not
    except ValueError:
        return yaml.load(text, Loader=CoreLoader)


def _group(group: Any, where: str) -> list[Endpoint]:
    if not isinstance(group, dict) or not {"targets", "labels"}.issuperset(group):
        raise SourceError(f"{where}: is not {{targets, labels}}; {_FORM}")
    targets, labels = group.get("targets"), group.get("labels") or {}
    if not isinstance(targets, list):
        raise SourceError(f"{where}.targets: is not a list; {_FORM}")
    if not isinstance(labels, dict):
        raise SourceError(f"{where}.labels: is not a mapping; {_FORM}")
    for j, target in enumerate(targets):
        if not (isinstance(target, str) and is_address(target)):
            found = shown(target) if isinstance(target, str) else reprlib.repr(target)
            problem = (isinstance(target, str) and port_problem(target)) or "it is not an address"
            raise SourceError(f"{where}.targets[{j}]: {found}: {problem}; give HOST:PORT")
    words = {str(key): _word(value) for key, value in labels.items()}
    name = words.get(NAME)
    if name and (problem := name_problem(name)):
        raise SourceError(f"{where}.labels.{NAME}: {problem}")
    if name and len(targets) == 1:
        return [Endpoint(name, targets[0], words)]
    if name and targets:
        raise SourceError(
            f"{where}.labels.{NAME}: names {len(targets)} targets; give each its own group"
        )
    return [Endpoint(target, target, words) for target in targets]


def _word(value: Any) -> str:
    """Return a label's value as text, also where YAML reads a bool or a number."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def written(endpoints: Sequence[Endpoint]) -> str:
    """Write endpoints as JSON for `parsed`."""
    groups = [{"targets": [it.address], "labels": {**it.labels, NAME: it.name}} for it in endpoints]
    return json.dumps(groups, indent=1) + "\n"


def read_list(path: Path) -> list[Endpoint]:
    """Read a file.

    Raises:
        SourceError: The file cannot be read, or is not such a list.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"
        raise SourceError(f"{path}: cannot be read: {reason}") from error
    return parsed(text, str(path))
