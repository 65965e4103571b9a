"""`--then T=FILE`: a system that becomes another, for the verbs that follow one in time."""

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
        help="From time T, s, on the system is that of FILE; repeat for more.",
        **applies,
    )


def change(text: str) -> "tuple[float, RoutingSystem]":
    """Time and system of one `--then`; raises BadParameter for any other form."""
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
