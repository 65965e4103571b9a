"""`isocline run`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from isocline.cli import _output
from isocline.cli._group import NEGATIVE, STOPPED

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.dispatch.run_statistics import RunStatistics

Write = Callable[[dict[str, Any]], None]


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--engine",
    type=click.Choice(["processes", "ray", "dask"]),
    help="Worker processes of this machine, or a cluster.  [default: as in FILE, or processes]",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Of the Ray or Dask cluster.  [default: as in FILE, or what Ray or Dask finds or starts]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes, if FILE does not name its nodes.  [default: one per core]",
)
@click.option(
    "--policy", metavar="P", help="A scheduling policy.  [default: as in FILE, or late_binding]"
)
@click.option(
    "--copies/--no-copies",
    default=None,
    help="Run a copy of a task that is far slower than others elsewhere.  [default: as in FILE, or "
    "for functions only]",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Keep the run in this file.",
)
@click.option("--resume", is_flag=True, help="Go on with the journal of a run that was cut off.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write results to this file.  [default: stdout]",
)
@_output.json_option
@_output.out_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    results: Path | None,
    as_json: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Run a function or a command for each chunk, near its data.

    FILE is Python with a function run(chunk), or YAML with a command. Results are lines of JSON, in
    the order in which they come. Exit status 1 if a task failed.
    """
    from isocline.dispatch.batch.load import load_batch
    from isocline.dispatch.batch.run import run_batch
    from isocline.errors import UsageError

    if options["resume"] and options["journal"] is None:
        raise UsageError("--resume: goes on with a journal; give its path as --journal PATH")
    batch = load_batch(file)
    kept: list[dict[str, Any]] = []
    with _writer(results, kept if as_json else None) as write, _progress(batch.size) as watch:
        result = run_batch(batch, lambda ended: write(ended._asdict()), watch=watch, **options)
    if as_json:
        _output.show_json(result.to_dict() | ({} if results else {"results": kept}))
    else:
        from isocline.report.dispatch_table import dispatch_report

        (_output.show if results else _show_on_stderr)(dispatch_report(result))
    if out:
        from isocline.report.dispatch_files import write_run

        _output.say_written(write_run(result, out))
    if result.interrupted:
        ctx.exit(STOPPED)
    if result.failures:
        ctx.exit(NEGATIVE)


def _show_on_stderr(record: "RenderableType") -> None:
    """For stdout has the results."""
    from rich.console import Console

    Console(stderr=True, markup=False, highlight=False, emoji=False).print(record)


@contextmanager
def _writer(path: Path | None, kept: list[dict[str, Any]] | None) -> Iterator[Write]:
    """Where results go: a file, the list for the JSON document, or stdout."""
    if path is not None:
        with _opened(path) as file:
            yield lambda line: print(json.dumps(line), file=file, flush=True)
    elif kept is not None:
        yield kept.append
    else:
        yield lambda line: click.echo(json.dumps(line))


def _opened(path: Path) -> IO[str]:
    from isocline.errors import UsageError

    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--results {path}: {error.strerror}; give a file to write to") from error


@contextmanager
def _progress(total: int | None) -> "Iterator[Callable[[RunStatistics], None]]":
    """A bar on stderr, gone when done; nothing where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from isocline.report.dispatch_table import rate, shares

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f}" + ("" if total is None else f"/{total:,}")),
        TextColumn("{task.fields[how]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def watch(found: "RunStatistics") -> None:
        failed = f", {found.failed:,} failed" if found.failed else ""
        bar.update(task, completed=found.ended, how=f"{rate(found)}, {shares(found)}{failed}")

    with bar:
        task = bar.add_task("", total=total, how="")
        yield watch
