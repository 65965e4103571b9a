"""Options for the requests to replay, shared by `simulate` and `load`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from isocline.cli._numbers import SECONDS
from isocline.cli._options import group

if TYPE_CHECKING:
    from isocline.model.traffic import Trace

F = TypeVar("F", bound=Callable[..., Any])

BURSTY = "bursty"
_OF_SIZES = 3  # options, the first ones, that say nothing of times
# As in isocline.model.traffic.FORMATS, without loading NumPy to print a help text; a test compares.
FORMATS = ("azure", "burstgpt", "mooncake", "servegen", "vllm")


def trace_options(
    heading: str,
    *others: str,
    kind: str | None = None,
    excludes: tuple[str, ...] = (),
    sizes_alone: bool = False,
) -> Callable[[F], F]:
    """--trace, --trace-format, --trace-columns, --trace-time-unit, --trace-tick.

    Args:
        heading: Their group in the help.
        others: Formats beside those of requests.
        kind: The kind of system that replays requests, where there are several.
        excludes: Options that `--trace` excludes.
        sizes_alone: The times of requests do not count: no options for them.
    """
    add = group(heading)
    of_file: dict[str, Any] = {"needs": "--trace", "excludes": (f"--trace {BURSTY}",)}
    options = [
        add(
            "--trace",
            metavar="FILE",
            help=f"Replay these requests; {BURSTY!r} generates some, '-' reads stdin. CSV or JSON "
            "lines, packed by gzip or not, or Parquet.",
            excludes=excludes,
        ),
        add(
            "--trace-format",
            metavar="NAME",
            default="auto",
            help=f"Meaning of the columns: {', '.join((*FORMATS, *others))}.  [default: by the "
            "columns]",
            **of_file,
        ),
        add(
            "--trace-columns",
            metavar="KEY=NAME,...",
            help="Meaning of the columns of any other table: time=ts,prompt=in,output=out, or "
            "work=... in place of tokens; frontend=... or model=... says where a request comes in, "
            "blocks=... the hashes of its prompt's blocks.",
            kind=kind,
            **of_file,
        ),
        add(
            "--trace-time-unit",
            type=click.Choice(["s", "ms", "us", "ns"]),
            help="Unit of times that are numbers.  [default: s, or that of the format]",
            kind=kind,
            **of_file,
        ),
        add(
            "--trace-tick",
            type=SECONDS,
            metavar="T",
            help="Its clock ticks every T s: spread requests of one time evenly over the tick.  "
            "[default: at once]",
            kind=kind,
            **of_file,
        ),
    ]

    def added(function: F) -> F:
        for option in reversed(options[:_OF_SIZES] if sizes_alone else options):
            function = option(function)
        return function

    return added


def read(
    name: str | None,
    written_as: str,
    columns: str | None,
    time_unit: str | None,
    tick: float | None,
) -> "Trace | None":
    """The trace that the options ask for.

    Raises:
        UsageError: The columns contradict each other.
        TraceError: The file is bad.
    """
    from isocline.model.traffic import Columns, bursty_trace, read_trace

    if name is None or name == BURSTY:
        return None if name is None else bursty_trace()
    return read_trace(
        name,
        written_as,
        columns=Columns.parse(columns) if columns else None,
        time_unit=time_unit,
        tick=tick,
    )
