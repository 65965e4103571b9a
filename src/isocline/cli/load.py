"""`isocline load`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _options, _output, _traces
from isocline.cli._group import NEGATIVE, STOPPED
from isocline.cli._numbers import COUNT, FACTOR, SECONDS, SECONDS_OR_NONE
from isocline.cli._options import group

if TYPE_CHECKING:
    from isocline.loadgen import Schedule


_ARRIVALS = group("Arrivals and length")
_REQUESTS = group("Requests")
_CLIENT = group("Client")


@click.command("load", cls=_options.Verb)
@click.argument("url")
@_ARRIVALS("--rate", type=FACTOR, metavar="R", help="Poisson arrivals, requests/s.")
@_traces.trace_options("Arrivals and length")
@_ARRIVALS(
    "--time-scale",
    type=FACTOR,
    default=1.0,
    help="Speed up the trace by this factor.",
    needs="--trace",
)
@_ARRIVALS(
    "--duration",
    type=SECONDS,
    metavar="T",
    help="Length of the run, s.  [default: that of the trace]",
)
@_ARRIVALS(
    "--warmup",
    type=SECONDS_OR_NONE,
    default=0.0,
    metavar="W",
    help="Leave out requests due in the first W s.",
)
@partial(_options.seed_option, heading="Arrivals and length", needs="--rate")
@_REQUESTS("--streams", is_flag=True, help="Ask for streams, and time their tokens.")
@_REQUESTS(
    "--model", default="isocline", show_default=True, metavar="NAME", help="Model to ask for."
)
@_REQUESTS(
    "--prompt-tokens",
    type=COUNT,
    default=16,
    show_default=True,
    metavar="N",
    help="Of each request.",
    needs="--rate",
)
@_REQUESTS(
    "--output-tokens",
    type=COUNT,
    default=16,
    show_default=True,
    metavar="N",
    help="Of each answer.",
    needs="--rate",
)
@_REQUESTS(
    "--header", "headers", multiple=True, metavar="LINE", help="'Name: value'; repeat for more."
)
@_CLIENT(
    "--connections",
    type=COUNT,
    default=1000,
    show_default=True,
    metavar="N",
    help="Most connections open at a time; requests that find none free wait, and the wait counts.",
)
@_CLIENT(
    "--timeout",
    type=SECONDS,
    default=60.0,
    show_default=True,
    metavar="T",
    help="Give up a request so long after it was due, s.",
)
@_CLIENT(
    "--workers", type=COUNT, default=1, show_default=True, metavar="N", help="Processes that send."
)
@_options.json_option
@_options.log_format_option
@_options.out_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    url: str,
    headers: tuple[str, ...],
    workers: int,
    as_json: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Send requests when they are due, and time the answers.

    URL is that of an OpenAI-compatible server, as http://127.0.0.1:9001, or ends in one of its
    paths; any other path gets plain GET requests. Exit status 1 if no request was answered.
    """
    from isocline.loadgen import LoadSettings, run_load
    from isocline.loadgen.target import Target

    names = ("model", "streams", "connections", "timeout", "warmup")
    settings = LoadSettings(url, headers=headers, **{name: options[name] for name in names})
    plain = Target(settings).kind == "get"
    for option in ("--streams", "--model", "--prompt-tokens", "--output-tokens"):
        if plain and _options.is_given(ctx, option[2:].replace("-", "_")):
            raise _options.refusal(
                option,
                "to plain GET requests",
                "give a URL that ends in /chat/completions or /completions, or leave it out",
            )
    from isocline.structured_log import log_event, logs_json

    if logs_json():
        log_event(f"load on {url}", "load.started", url=url, workers=workers)
    result = run_load(settings, _schedule(options), workers)
    if logs_json():
        done = f"{result.completed} of {result.due} requests completed"
        log_event(done, "load.finished", **result.to_dict())
    if as_json:
        _output.show_json(result.to_dict())
    else:
        from isocline.report.tables.load import load_report

        _output.show(load_report(result))
    if out:
        from isocline.report.export.files import write_load

        _output.list_written(write_load(result, out))
    if result.interrupted:
        ctx.exit(STOPPED)
    if not result.completed:
        ctx.exit(NEGATIVE)


def _schedule(options: dict[str, Any]) -> "Schedule":
    from isocline.errors import UsageError
    from isocline.loadgen import Schedule

    rate, name, duration = options["rate"], options["trace"], options["duration"]
    if (rate is None) == (name is None):
        raise UsageError("load: give either --rate R or --trace FILE")
    if rate is not None:
        if duration is None:
            raise UsageError("load: --rate goes on for ever; give --duration T")
        tokens = options["prompt_tokens"], options["output_tokens"]
        return Schedule.poisson(rate, duration, *tokens, seed=options["seed"])
    given = ("trace_format", "trace_columns", "trace_time_unit", "trace_tick")
    trace = _traces.read(name, *(options[key] for key in given))
    assert trace is not None  # as there is a name
    return Schedule.of_trace(trace.sped_up(options["time_scale"]), duration)
