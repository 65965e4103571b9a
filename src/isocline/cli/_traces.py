"""Options that say which requests to replay, shared by the verbs that replay some."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from isocline.model.traffic import Trace

F = TypeVar("F", bound=Callable[..., Any])

BURSTY = "bursty"
# As in isocline.model.traffic.FORMATS, without loading NumPy to print a help text; a test compares.
FORMATS = ("azure", "burstgpt", "mooncake", "servegen", "vllm")


def trace_options(*others: str) -> Callable[[F], F]:
    """--trace, --trace-format, --trace-columns, --trace-time-unit; `others` are more formats."""

    def add(function: F) -> F:
        for option in reversed(_options(others)):
            function = option(function)
        return function

    return add


def _options(others: Sequence[str]) -> list[Callable[[F], F]]:
    return [
        click.option(
            "--trace",
            metavar="FILE",
            help=f"Replay these requests; {BURSTY!r} makes some up, '-' reads stdin. CSV or JSON "
            "lines, packed by gzip or not, or Parquet.",
        ),
        click.option(
            "--trace-format",
            metavar="NAME",
            default="auto",
            help=f"What the columns of the trace mean: {', '.join((*FORMATS, *others))}.  "
            "[default: by the columns]",
        ),
        click.option(
            "--trace-columns",
            metavar="KEY=NAME,...",
            help="What they mean in a table of any other kind: time=ts,prompt=in,output=out, or "
            "work=... in place of tokens; frontend=... or model=... says where a request comes in.",
        ),
        click.option(
            "--trace-time-unit",
            type=click.Choice(["s", "ms", "us", "ns"]),
            help="Of times that are numbers.  [default: s, or that of the format]",
        ),
    ]


def read(
    name: str | None, written_as: str, columns: str | None, time_unit: str | None
) -> "Trace | None":
    """The trace that the options ask for.

    Raises:
        UsageError: The options contradict each other.
        TraceError: The file is bad.
    """
    from isocline.errors import UsageError
    from isocline.model.traffic import Columns, bursty_trace, read_trace

    if name is None or name == BURSTY:
        for option, value in (("columns", columns), ("time-unit", time_unit)):
            if value is not None:
                raise UsageError(f"--trace-{option}: only for a file; give --trace FILE")
        return None if name is None else bursty_trace()
    return read_trace(
        name, written_as, columns=Columns.parse(columns) if columns else None, time_unit=time_unit
    )
