"""`--then T=FILE`: a system that becomes another, for the verbs that follow one in time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _output
from isocline.cli._numbers import SECONDS
from isocline.cli._options import Decorator, group

if TYPE_CHECKING:
    from isocline.model.fleet import RoutingSystem


def then_option(heading: str, **applies: Any) -> Decorator[Any]:
    """`--then T=FILE`, any number of times, as the argument `changes`."""
    return group(heading)(
        "--then",
        "changes",
        multiple=True,
        metavar="T=FILE",
        help="Replace the system by that of FILE at time T, s; repeat for more.",
        **applies,
    )


def changes(
    texts: Sequence[str], first: Path, system: "RoutingSystem"
) -> "list[tuple[float, RoutingSystem]]":
    """Times and systems of all `--then`, each with a name of its own.

    Args:
        texts: As they were given.
        first: File of the system that it is at the start.
        system: That system.

    Raises:
        BadParameter: One is not of the form T=FILE.
    """
    files = {system.name: first.resolve()}
    found: list[tuple[float, RoutingSystem]] = []
    for text in texts:
        time, file, then = _change(text)
        if files.setdefault(then.name, file.resolve()) != file.resolve():
            then = replace(then, name=str(file))  # as results tell them apart by name
        found.append((time, then))
    return found


def _change(text: str) -> "tuple[float, Path, RoutingSystem]":
    time, equals, file = text.partition("=")
    if not equals or not file.strip():
        raise click.BadParameter(
            f"{text!r}: give a time in s and a system file, as in 20=after.yaml",
            param_hint="--then",
        )
    try:
        at = SECONDS.convert(time, None, None)
    except click.BadParameter as error:
        raise click.BadParameter(f"{text!r}: {error.message}", param_hint="--then") from None
    return at, Path(file), _output.load_with_notes(Path(file))
