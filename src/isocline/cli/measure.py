"""`isocline measure`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _options, _output, _traces
from isocline.cli._group import STOPPED
from isocline.cli._numbers import COUNT, LIMIT, PRECISION, SECONDS
from isocline.cli._options import group

if TYPE_CHECKING:
    from isocline.loadgen import LoadSettings, Schedule
    from isocline.sweep import SweepResult, Visited

_SWEEP, _REQUESTS = group("Sweep"), group("Requests")


@click.command("measure", cls=_options.Verb)
@click.argument("url")
@_SWEEP(
    "--most",
    type=COUNT,
    default=64,
    show_default=True,
    metavar="N",
    help="Greatest workload: requests in flight at a time.",
)
@_SWEEP(
    "--precision",
    type=PRECISION,
    default=0.05,
    show_default=True,
    metavar="P",
    help="Stop when the 95 % interval of the rate is at most ± this share, at all "
    "measured workloads and between them.",
)
@_SWEEP(
    "--limit",
    type=LIMIT,
    default=120.0,
    show_default=True,
    metavar="T",
    help="Stop after this time at the latest, s, or with a unit: 120s, 5m.",
)
@_SWEEP(
    "--unit",
    type=click.Choice(["jobs", "tokens"]),
    default="jobs",
    show_default=True,
    help="Measure requests/s, or output tokens/s.",
)
@_REQUESTS("--streams", is_flag=True, help="Ask for streams.")
@_REQUESTS(
    "--model", metavar="NAME", help="Model to ask for.  [default: the one that the server lists]"
)
@_REQUESTS(
    "--prompt-tokens",
    type=COUNT,
    default=128,
    show_default=True,
    metavar="N",
    help="Of each request, four characters each.",
    excludes=("--trace",),
)
@_REQUESTS(
    "--output-tokens",
    type=COUNT,
    default=128,
    show_default=True,
    metavar="N",
    help="Of each answer, at most.",
    excludes=("--trace",),
)
@_REQUESTS(
    "--ignore-eos",
    is_flag=True,
    help="Have each answer as long as that: vLLM, SGLang and llama.cpp know how.",
)
@_traces.trace_options("Requests", sizes_alone=True)
@partial(_options.seed_option, heading="Requests", needs="--trace")
@_REQUESTS(
    "--header", "headers", multiple=True, metavar="LINE", help="'Name: value'; repeat for more."
)
@_REQUESTS(
    "--key-env",
    metavar="NAME",
    help="API key, from this variable of the environment.",
    excludes=("--key-file",),
)
@_REQUESTS("--key-file", metavar="FILE", help="API key, from this file.")
@_REQUESTS(
    "--timeout",
    type=SECONDS,
    default=60.0,
    show_default=True,
    metavar="T",
    help="Give up a request after so long, s.",
)
@_options.json_option
@_options.out_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    url: str,
    as_json: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Measure the service curve of a live server.

    URL is that of an OpenAI-compatible server, as http://127.0.0.1:8000, or ends in one of its
    paths; any other path gets plain GET requests.

    Clients that each wait for their answer keep N requests in flight, at workloads N that are
    chosen where the curve is known least. One at which requests fail, or the server throttles, is
    not counted. The result is that of `isocline curves --from`, with the entry for a system
    file. Ctrl-C ends a sweep with what was measured so far.
    """
    from isocline.loadgen.target import Target
    from isocline.sweep import SweepSettings, run_sweep

    load = _load_settings(url, options)
    plain = Target(load).kind == "get"
    for option in _OPENAI:
        if plain and _options.is_given(ctx, option[2:].replace("-", "_")):
            raise _options.refusal(
                option,
                "to plain GET requests",
                "give a URL that ends in /chat/completions or /completions, or leave it out",
            )
    names = ("most", "precision", "limit", "unit", "ignore_eos")
    settings = SweepSettings(load, **{name: options[name] for name in names})

    def report(visit: "Visited", elapsed: float) -> None:
        from isocline.report.tables.sweep import visit_line

        click.echo(visit_line(visit, settings.unit, elapsed, settings.limit), err=True)

    result = run_sweep(settings, _schedule(options), report)
    _show(result, as_json, out)
    if result.interrupted:
        ctx.exit(STOPPED)


_OPENAI = (
    "--unit",
    "--streams",
    "--model",
    "--prompt-tokens",
    "--output-tokens",
    "--ignore-eos",
    "--trace",
)


def _show(result: "SweepResult", as_json: bool, out: Path | None) -> None:
    if as_json:
        _output.show_json(result.to_dict())
    else:
        from isocline.report.tables.measured import curve_entries
        from isocline.report.tables.sweep import sweep_report

        _output.show(sweep_report(result))
        click.echo()
        click.echo(curve_entries([result.curve]), nl=False)
    if out:
        from isocline.report.export.files import write_measured_curves

        _output.list_written(write_measured_curves([result.curve], out))


def _load_settings(url: str, options: dict[str, Any]) -> "LoadSettings":
    from isocline.gateway.serve.secret import read_authorization
    from isocline.loadgen import LoadSettings
    from isocline.model.systemfile.backend_schema import Secret

    headers: tuple[str, ...] = options["headers"]
    secret = {name: options[f"key_{name}"] for name in ("env", "file") if options[f"key_{name}"]}
    if secret:
        value = read_authorization(Secret(**secret), Path())
        headers = (*headers, f"authorization: {value}")
    return LoadSettings(
        url,
        model=options["model"] or "",
        streams=options["streams"],
        connections=options["most"],
        timeout=options["timeout"],
        headers=headers,
    )


def _schedule(options: dict[str, Any]) -> "Schedule":
    from isocline.loadgen import Schedule

    name = options["trace"]
    if name is None:
        return Schedule.alike(options["prompt_tokens"], options["output_tokens"])
    trace = _traces.read(name, options["trace_format"], options["trace_columns"], None, None)
    assert trace is not None  # as there is a name
    return Schedule.for_sizes(trace, options["seed"])
