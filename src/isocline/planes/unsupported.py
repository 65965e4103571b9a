"""Settings of a system file that a data plane cannot follow, each refused by its name and line.

A setting that is not given has a default, which no plane refuses: its page says what it does then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from isocline.model.systemfile.backend_schema import BackendEntry
from isocline.model.systemfile.document import Field
from isocline.model.systemfile.serving import Served
from isocline.model.systemfile.serving_schema import ServeEntry

BUILT_IN = "leave it out, or serve without --plane"
Problem = tuple[Field, str]
"""Where a setting stands, and what is wrong with it and what to do."""


def refuse(served: Served, problems: Iterable[Problem]) -> None:
    """Raise SystemFileError for the first problem, if there is one."""
    for field, problem in problems:
        served.document.fail(field, problem)


def given(serve: ServeEntry, keys: Mapping[str, str]) -> Iterator[Problem]:
    """Keys of `serve` that a file gives, unless it turns them off; `keys` say what is wrong."""
    for key, why in keys.items():
        if key in serve.model_fields_set and getattr(serve, key) not in (None, {}, []):
            yield ("serve", key), f"{why}; {BUILT_IN}"


def changed(serve: ServeEntry, parts: Mapping[str, Sequence[str]], why: str) -> Iterator[Problem]:
    """Settings of groups of `serve` that differ from their defaults; `parts` are their names."""
    for group, names in parts.items():
        settings: Any = getattr(serve, group)
        defaults = {it.name: it.default for it in fields(settings)}
        for name in names:
            if getattr(settings, name) != defaults[name]:
                yield ("serve", group, name), f"{why}; {BUILT_IN}"


def of_backends(backends: Sequence[BackendEntry], keys: Mapping[str, str]) -> Iterator[Problem]:
    """Keys of backends that differ from their defaults; `keys` say what is wrong."""
    for b, backend in enumerate(backends):
        for key, why in keys.items():
            if getattr(backend, key) != type(backend).model_fields[key].default:
                yield ("backends", b, key), f"{why}; {BUILT_IN}"
