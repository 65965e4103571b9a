"""`isocline warm`."""

import time
from pathlib import Path
from typing import final

import click

from isocline.cli import _options, _output
from isocline.cli._group import NEGATIVE
from isocline.compilation import compile_events

ALL = "all"


@click.command("warm", cls=_options.Verb)
@click.argument("verbs", nargs=-1, metavar="[plan|simulate|serve|run|all]...")
@_options.option(
    "--options",
    is_flag=True,
    help="For simulate, also its options that have kernels of their own (--means-only, --delay, "
    "--clock slotted, --learn, --patience, --failure), and all scheduling policies: some minutes "
    "more.",
)
@_options.json_option
@click.pass_context
def command(ctx: click.Context, verbs: tuple[str, ...], options: bool, as_json: bool) -> None:
    """Compile the kernels that verbs need, and keep them on disk.

    For images and CI, so that a first start does not wait for the compiler. Without a verb, or
    with all, it compiles for all verbs; plan includes fluid, and serve the module for Envoy, where
    Envoy and a C compiler are installed. All else, such as other
    scheduling policies than the defaults, is compiled when it is first used. The code is for this
    kind of processor.

    Exit status 1 if there is no directory to keep the kernels in.
    """
    from isocline.cli._warming import VERBS, envoy_module, options_of_simulate
    from isocline.compilation import cache_directory, compiled
    from isocline.errors import UsageError
    from isocline.plural import counted

    for verb in verbs:
        if verb not in (*VERBS, ALL):
            raise UsageError(f"warm: {verb!r}: give {', '.join(VERBS)} or {ALL}")
    chosen = list(VERBS) if not verbs or ALL in verbs else list(dict.fromkeys(verbs))
    if options and "simulate" not in chosen:
        raise _options.refusal("--options", "without simulate", "add simulate, or leave it out")
    counter = _Counter()
    compile_events.add(counter)
    began = time.monotonic()
    try:
        for verb in chosen:
            VERBS[verb]()
        if options:
            options_of_simulate()
        module = envoy_module() if "serve" in chosen else None
    finally:
        compile_events.remove(counter)
    seconds = time.monotonic() - began
    kept = cache_directory.writable(Path(compiled.__file__))
    if as_json:
        place = None if kept is None else str(kept.parent)
        found = {"verbs": chosen, "kernels": counter.kernels, "seconds": seconds}
        library = str(module.library) if module and module.library else None
        _output.show_json(found | {"directory": place, "envoy_module": library})
    else:
        place = "kept nowhere" if kept is None else f"kept under {kept.parent}"
        made = f"{counted(counter.kernels, 'kernel')} compiled in {seconds:.1f} s"
        click.echo(f"{', '.join(chosen)}: {made}, {place}")
        if module and module.library:
            click.echo(f"module for Envoy: {module.library}")
    if module and module.problem:
        click.echo(f"note: no module for Envoy: {module.problem}", err=True)
    if kept is None:
        ctx.exit(NEGATIVE)


@final
class _Counter(compile_events.Listener):
    """Counter of compiled kernels."""

    def __init__(self) -> None:
        self.kernels = 0

    def started(self) -> None:
        """See `finished`."""

    def finished(self) -> None:
        self.kernels += 1
