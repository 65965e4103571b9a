"""`isocline backend`."""

from functools import partial
from typing import TYPE_CHECKING

import click

from isocline.cli import _options
from isocline.cli._numbers import COUNT, FACTOR, WEIGHT
from isocline.cli._options import group

if TYPE_CHECKING:
    from isocline.model.traffic import Sizes


_OF_JOBS = ("--unit jobs",)  # in which no token is work
_SERVICE, _REQUESTS, _OTHER = group("Service"), group("Requests"), group("Reports and faults")


@click.command("backend", cls=_options.Verb)
@_SERVICE(
    "--curve",
    "curve_text",
    required=True,
    metavar="CURVE",
    help="Rate as a function of the requests in service, as in a system file: "
    "'{type: knee, peak: 2400, knee: 16, sharpness: 3}'.",
)
@_SERVICE(
    "--unit",
    type=click.Choice(["tokens", "jobs"]),
    default="tokens",
    show_default=True,
    help="Unit of the curve: tokens/s or jobs/s.",
)
@_SERVICE(
    "--prefill",
    type=WEIGHT,
    default=0.0,
    show_default=True,
    help="Work of a prompt token.",
    excludes=_OF_JOBS,
)
@_SERVICE(
    "--decode",
    type=FACTOR,
    default=1.0,
    show_default=True,
    help="Work of an output token.",
    excludes=_OF_JOBS,
)
@_SERVICE(
    "--sizes",
    "sizes_text",
    default="deterministic",
    show_default=True,
    metavar="LAW",
    help="Law of a size that multiplies a request's work: exponential, lognormal:cv=2, "
    "hyperexponential:cv=3; its mean is 1.",
)
@_SERVICE(
    "--max-num-seqs",
    type=COUNT,
    metavar="N",
    help="Requests in service at a time; others wait.  [default: no limit]",
)
@_SERVICE(
    "--cache-tokens",
    type=COUNT,
    metavar="N",
    help="Tokens of prompts that its prefix cache holds; cached ones are no work.  [default: no "
    "cache]",
    excludes=_OF_JOBS,
)
@_SERVICE(
    "--block-size",
    type=COUNT,
    default=16,
    show_default=True,
    metavar="N",
    help="Tokens that this cache keeps or drops together.",
    needs="--cache-tokens",
)
@_SERVICE(
    "--memory",
    type=FACTOR,
    metavar="M",
    help="Memory for models that can be loaded, in the unit of their sizes.  [default: room for "
    "all]",
    needs="--models",
)
@_SERVICE(
    "--models",
    "loadable",
    metavar="MODELS",
    help="Models that can be loaded, as in a system file: "
    "'[{name: \"lora-*\", size: 0.1, load: 0.5}]'.",
)
@_SERVICE(
    "--on-demand",
    is_flag=True,
    help="Load what requests ask for, and drop what was used the longest time ago; else by "
    "/v1/load_lora_adapter and /v1/unload_lora_adapter alone.",
    needs="--models",
)
@partial(_options.seed_option, heading="Service")
@_REQUESTS(
    "--listen", default="127.0.0.1:9001", show_default=True, metavar="HOST:PORT", help="Address."
)
@_REQUESTS(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Name of a model; repeat for more. Requests for others get 404.  "
    "[default: any name is accepted]",
)
@_REQUESTS(
    "--output-tokens",
    type=COUNT,
    default=16,
    show_default=True,
    metavar="N",
    help="Output tokens of a request without max_tokens.",
)
@_REQUESTS(
    "--max-model-len",
    type=COUNT,
    default=131_072,
    show_default=True,
    metavar="N",
    help="Most tokens of a request, prompt and output together.",
)
@_OTHER(
    "--orca",
    type=click.Choice(["text", "json", "off"]),
    default="off",
    show_default=True,
    help="Form of the load report in the header endpoint-load-metrics, where a request does not "
    "name one.",
)
@_OTHER(
    "--orca-counts",
    type=click.Choice(["waiting", "all"]),
    default="waiting",
    show_default=True,
    help="Jobs in this report: those that wait, with no report in streams, as from vLLM; or all, "
    "in every response.",
)
@_OTHER(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=X",
    help="Inject a fault: error, garbage, hang or reset in this share of requests, load_error "
    "or load_hang of loads, slow by this factor, or sick (/health answers 503); repeat for more.",
)
def command(
    curve_text: str,
    listen: str,
    sizes_text: str,
    faults: tuple[str, ...],
    loadable: str | None,
    **options: object,
) -> None:
    """Emulate an OpenAI-compatible server with a given curve.

    \b
    Requests share it: N in service get a rate of l(N)/N each. It streams, or not, from
    /v1/chat/completions and /v1/completions, and answers /v1/models, /health and /metrics
    (in vLLM's names). While it runs:
      curl -X POST localhost:9001/faults -d '{"slow": 3, "error": 0.1}'
      curl -X PUT  localhost:9001/curve  -d '{type: hyperbolic, peak: 900, half: 8}'
    """  # noqa: D301 - click's mark for "do not rewrap" is the backspace itself
    from isocline.emulator import Faults, Settings, run
    from isocline.emulator.settings import parse_address
    from isocline.model.systemfile.one_curve import read_curve
    from isocline.model.systemfile.some_models import read_models

    host, port = parse_address(listen)
    curve = read_curve(curve_text)
    settings = Settings(
        curve=curve,
        sizes=_sizes(sizes_text),
        loadable=() if loadable is None else read_models(loadable, place="--models"),
        faults=Faults.parse(",".join(faults)) if faults else Faults(),
        **options,  # type: ignore[arg-type]
    )

    def listening(port: int) -> None:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        click.echo(
            f"serving {', '.join(settings.models) or 'any model'} at http://{where}/v1 "
            f"with curve {curve} in {settings.unit}/s; Ctrl-C ends it",
            err=True,
        )

    run(settings, host, port, listening)


def _sizes(text: str) -> "Sizes":
    """`exponential`, or `lognormal:cv=2`, as policies are written."""
    from isocline.errors import UsageError
    from isocline.model.traffic.sizes import ALL

    name, _, argument = text.partition(":")
    law = ALL.get(name)
    if law is None:
        raise UsageError(f"--sizes {text!r}: known laws: {', '.join(ALL)}")
    try:
        key, _, value = argument.partition("=")
        return law(**({key: float(value)} if argument else {}))
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise UsageError(f"--sizes {text!r}: {error}") from error
        raise UsageError(f"--sizes {text!r}: write it as lognormal:cv=2, with a number") from None
