"""Options for the requests to replay, shared by `simulate` and `load`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from isocline.cli._options import group

if TYPE_CHECKING:
    from isocline.model.traffic import Trace

F = TypeVar("F", bound=Callable[..., Any])

BURSTY = "bursty"
# As in isocline.model.traffic.FORMATS, without loading NumPy to print a help text; a test compares.
FORMATS = ("azure", "burstgpt", "mooncake", "servegen", "vllm")


def trace_options(
    heading: str, *others: str, kind: str | None = None, excludes: tuple[str, ...] = ()
) -> Callable[[F], F]:
    """--trace, --trace-format, --trace-columns, --trace-time-unit.

    Args:
        heading: Their group in the help.
        others: Formats beside those of requests.
        kind: The kind of system that replays requests, where there are several.
        excludes: Options that `--trace` excludes.
    """
    add = group(heading)
    of_file: dict[str, Any] = {"needs": "--trace", "excludes": (f"--trace {BURSTY}",)}
    options = [
        add(
            "--trace",
            metavar="FILE",
            help=f"Replay these requests; {BURSTY!r} makes some up, '-' reads stdin. CSV or JSON "
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
            "work=... in place of tokens; frontend=... or model=... says where a request comes in.",
            kind=kind,
            **of_file,
        ),
        add(
            "--trace-time-unit",
            type=click.Choice(["s", "ms", "us", "ns"]),
            help="Of times that are numbers.  [default: s, or that of the format]",
            kind=kind,
            **of_file,
        ),
    ]

    def added(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return added


def read(
    name: str | None, written_as: str, columns: str | None, time_unit: str | None
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
        name, written_as, columns=Columns.parse(columns) if columns else None, time_unit=time_unit
    )
