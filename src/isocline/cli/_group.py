"""Group of verbs: finds them, and turns errors into one line and an exit status.

Exit status: 0 done; 1 the question has a negative answer; 2 wrong usage or a bad file; 130 stopped
by Ctrl-C; 141 the reader of our output went away.
"""

import errno
import importlib
import io
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, final

import click

from isocline.cli._compiling import reported_compilation
from isocline.errors import InfeasibleError, IsoclineError, UnreachableError

# What newcomers type for a verb, and no likeness of letters finds.
MEANT = {
    "optimize": "plan",
    "optimise": "plan",
    "solve": "plan",
    "capacity": "plan",
    "size": "fleet",
    "sizing": "fleet",
    "cost": "fleet",
    "buy": "fleet",
    "rent": "fleet",
    "sim": "simulate",
    "compare": "simulate",
    "proxy": "serve",
    "router": "serve",
    "route": "serve",
    "start": "serve",
    "emulate": "backend",
    "bench": "load",
    "benchmark": "load",
    "sweep": "measure",
    "schedule": "run",
    "submit": "run",
    "learn": "curves",
    "judge": "audit",
    "analyze": "audit",
    "analyse": "audit",
    "log": "audit",
    "drain": "control",
    "admin": "control",
    "figure": "reproduce",
}
NEGATIVE, WRONG, STOPPED, UNREAD = 1, 2, 130, 141
_MAKE_ROOM = "make room, and run again"
# What stdout may refuse a text for, and the remedy.
_UNWRITTEN = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO), _MAKE_ROOM)
_UNWRITTEN[errno.EBADF] = "give it a file, a pipe or /dev/null"


@final
class Verbs(click.Group):
    """Imports a verb only when it is called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        folder = os.path.dirname(__file__)  # noqa: PTH120 - pathlib would cost 10 ms at each start
        names = (module.name for module in pkgutil.iter_modules([folder]))
        return sorted(name for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        verb: click.Command = importlib.import_module(f"isocline.cli.{cmd_name}").command
        return verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].startswith("-") or self.get_command(ctx, args[0]) is not None:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # 2 ms that only a mistake needs

        word, known = args[0], self.list_commands(ctx)
        near = MEANT.get(word) or next(iter(get_close_matches(word, known, n=1)), None)
        hint = f"did you mean {near!r}? " if near else ""
        raise click.UsageError(f"there is no verb {word!r}; {hint}known: {', '.join(known)}", ctx)

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Parse arguments and call the verb; what stdout does not take is an error in one line."""
        _prepare_output()
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            remedy = _UNWRITTEN.get(error.errno or 0)
            if remedy is None:
                raise
            _discard_output()
            _say(f"isocline: stdout: {error.strerror}; {remedy}", "failed")
            sys.exit(WRONG)

    def invoke(self, ctx: click.Context) -> Any:
        with exit_status(ctx, lambda: f"isocline {ctx.invoked_subcommand}"):
            return super().invoke(ctx)


@contextmanager
def exit_status(ctx: click.Context, command: Callable[[], str]) -> Iterator[None]:
    """Turn what goes wrong within into one line and an exit status.

    `command()` is what needs an extra that is not installed.
    """
    from isocline.extras import extras_named

    try:
        with reported_compilation(), extras_named(command):
            yield
        sys.stdout.flush()  # here, where a reader that went away is still our business
    except IsoclineError as error:
        _say(f"isocline: {error}", "failed")
        negative = isinstance(error, InfeasibleError | UnreachableError)
        ctx.exit(NEGATIVE if negative else WRONG)
    except KeyboardInterrupt:
        _say("\nisocline: stopped", "stopped")
        ctx.exit(STOPPED)
    except BrokenPipeError:
        _discard_output()
        ctx.exit(UNREAD)


@final
class _Closed(io.TextIOWrapper):
    """Stdout that was closed by who started us: results must not vanish without a word."""

    def write(self, text: str) -> int:  # noqa: ARG002
        raise OSError(errno.EBADF, "it is closed")


def _prepare_output() -> None:
    """Have streams for all that is said, which take all characters in some form."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started us
            kind = _Closed if name == "stdout" else io.TextIOWrapper
            setattr(sys, name, kind(open(os.devnull, "wb"), encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Forget what is in stdout's buffer: it must not fail again when the interpreter closes it."""
    with suppress(io.UnsupportedOperation):  # in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str, name: str) -> None:
    """Print the last words of a verb on stderr, in the form of its log."""
    from isocline.structured_log import log_event, logs_json

    if not logs_json():
        click.echo(text, err=True)
        return
    import logging

    log_event(text.strip().removeprefix("isocline: "), name, logging.ERROR)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="isocline")
def main() -> None:
    """Plan, simulate and compare load balancing on a system file.

    \b
    isocline plan examples/mixed_fleet.yaml
    isocline simulate examples/mixed_fleet.yaml --policy gmsr --policy jsq
    """  # noqa: D301 - click's mark for "do not rewrap" is the backspace itself
