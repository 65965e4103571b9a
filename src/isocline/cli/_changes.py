"""`--then T=FILE`: a system that becomes another, shared by the verbs that follow one in time."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from isocline.cli import _output
from isocline.cli._numbers import SECONDS

if TYPE_CHECKING:
    from isocline.model.fleet import RoutingSystem

F = TypeVar("F", bound=Callable[..., Any])


def then_option(function: F) -> F:
    """`--then T=FILE`, any number of times, as the argument `changes`."""
    return click.option(
        "--then",
        "changes",
        multiple=True,
        metavar="T=FILE",
        help="From time T, s, on the system is that of FILE; repeat for more.",
    )(function)


def change(text: str) -> "tuple[float, RoutingSystem]":
    """The time and the system of one `--then`; raises BadParameter if it is not written so."""
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
    return at, _output.load_and_say(Path(file))
