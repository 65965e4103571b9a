"""`isocline run`."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar, final

import click

from isocline.cli import _options, _output
from isocline.cli._group import NEGATIVE, STOPPED, WRONG
from isocline.cli._numbers import COUNT
from isocline.cli._options import group
from isocline.cli._progress_log import ProgressLog

if TYPE_CHECKING:
    from rich.console import RenderableType

    from isocline.dispatch.batch.result import BatchResult
    from isocline.dispatch.coordinator.run_statistics import RunStatistics
    from isocline.dispatch.errors import OutputError

T = TypeVar("T")
Write = Callable[[dict[str, Any]], None]

_BEGINS = b'{"key": '  # each line of a file of results
_TERMINATED = 128 + signal.SIGTERM  # the exit status by which shells know a process that it ended


_PLACE, _SCHEDULING = group("Engine"), group("Scheduling")
_KEPT, _SEEN = group("Journal and results"), group("Live page")


@click.command("run", cls=_options.Verb)
@click.argument("file", type=click.Path(path_type=Path))
@_PLACE(
    "--engine",
    type=click.Choice(["processes", "ray", "dask"]),
    help="Worker processes of this machine, or a cluster.  [default: as in FILE, or processes]",
)
@_PLACE(
    "--address",
    metavar="HOST:PORT",
    help="Address of the Ray or Dask cluster.  "
    "[default: as in FILE, or what Ray or Dask finds or starts]",
)
@_PLACE(
    "--workers",
    type=COUNT,
    metavar="N",
    help="Number of processes, if FILE does not name its nodes.  [default: one per core]",
)
@_PLACE(
    "--locations",
    metavar="SOURCE",
    help="Where chunks are, as webhdfs://HOST:PORT/FOLDER, csv:FILE or ring:NODE,NODE,...; "
    "docs/locations.md has all kinds.  [default: as in FILE]",
)
@_SCHEDULING(
    "--policy", metavar="P", help="A scheduling policy.  [default: as in FILE, or late_binding]"
)
@_SCHEDULING(
    "--copies/--no-copies",
    default=None,
    help="Run a copy of a task that is far slower than others elsewhere.  [default: as in FILE, or "
    "for functions only]",
)
@_KEPT(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Record the run in this file, so that it can be resumed.",
)
@_KEPT(
    "--resume",
    is_flag=True,
    help="Continue a run that was cut off, from its journal.",
    needs="--journal",
)
@_KEPT(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Write results to this file, in place of those of an earlier run.  [default: stdout]",
)
@_SEEN(
    "--page",
    metavar="HOST:PORT",
    help="Serve a live page of the run here until it ends. A port alone is one of 127.0.0.1, 0 is "
    "any free one.",
)
@_options.json_option
@_options.log_format_option
@_options.out_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    results: Path | None,
    as_json: bool,
    out: Path | None,
    locations: str | None,
    **options: Any,
) -> None:
    """Run a function or a command for each chunk, near its data.

    FILE is Python with a function run(chunk), or YAML with a command. Results are lines of JSON, in
    the order in which they come. Exit status 0 if each chunk has a result, 1 if not, 2 if results
    or the journal cannot be written, 130 after Ctrl-C, 143 after SIGTERM, which acts like it.
    """
    from isocline.dispatch.batch.load import load_batch
    from isocline.dispatch.batch.runner import run_batch
    from isocline.dispatch.batch.spec import RunOptions

    for option, path in (("--results", results), ("--journal", options["journal"])):
        _output.require_another(option, path, file)
    from isocline.errors import UsageError

    if results and options["journal"] and results.resolve() == options["journal"].resolve():
        raise UsageError(f"--results {results}: this is the journal; give another path")
    batch = _without_exit(lambda: load_batch(file, locations))
    size = _without_exit(lambda: batch.tasks)
    _log("run.started", f"run of {file}", tasks=size)
    kept: list[dict[str, Any]] = []

    def run() -> "BatchResult":
        with _writer(results, kept if as_json else None) as write, _progress(size) as watch:
            chosen = RunOptions(**options)
            return run_batch(batch, lambda ended: write(ended._asdict()), chosen, watch, _tell)

    with _Termination() as termination:
        try:
            result = _without_exit(run)
        except KeyboardInterrupt:
            if not termination.came:
                raise
            said = "isocline: stopped by SIGTERM before the first task"
            _output.tell(said, "run.stopped", failed=True)
            ctx.exit(_TERMINATED)
    if as_json:
        _output.show_json(result.to_dict() | ({} if results else {"results": kept}))
    else:
        _show_table(result, on_stdout=results is not None)
    _log("run.finished", f"run {result.status}", result)
    if out:
        _write_files(result, out)
    if result.interrupted and termination.came:
        said = f"isocline: {_terminated(result, size, options['journal'])}"
        _output.tell(said, "run.stopped", failed=True)
        ctx.exit(_TERMINATED)
    if result.interrupted:
        ctx.exit(STOPPED)
    if result.problem is not None:
        _output.tell(f"isocline: {result.problem}", "run.failed", failed=True)
        ctx.exit(WRONG)
    if result.status != "done":
        ctx.exit(NEGATIVE)


def _show_table(result: "BatchResult", *, on_stdout: bool) -> None:
    """Show the table of a run; on stderr, where stdout has the results, unless that is a log."""
    from isocline.report.tables.dispatch import dispatch_report
    from isocline.structured_log import logs_json

    if on_stdout:
        _output.show(dispatch_report(result))
    elif not logs_json():
        _show_on_stderr(dispatch_report(result))


def _log(name: str, text: str, result: "BatchResult | None" = None, **fields: Any) -> None:
    """Log an event of the run where the log is JSON; of a result its figures."""
    from isocline.structured_log import log_event, logs_json

    if logs_json():
        figures = {} if result is None else result.statistics.to_dict() | {"status": result.status}
        log_event(text, name, **figures, **fields)


def _tell_progress(line: str, found: "RunStatistics") -> None:
    _output.tell(f"progress: {line}", "run.progress", **found.to_dict())


def _tell(address: str) -> None:
    """Print the address of the live page."""
    _output.tell(f"isocline: live page on {address}", "page.listening", address=address)


@final
class _Termination:
    """SIGTERM as Ctrl-C, for the length of a `with`; `came` says that it was the reason."""

    def __init__(self) -> None:
        self.came = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGTERM, self._interrupt)
            self._stack.callback(signal.signal, signal.SIGTERM, before)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _interrupt(self, *_: object) -> None:
        self.came = True
        raise KeyboardInterrupt


def _terminated(result: "BatchResult", total: int | None, journal: Path | None) -> str:
    """Describe a run that SIGTERM has ended: what was done, and how to go on."""
    from isocline.plural import counted

    found = result.statistics
    done = counted(found.finished + found.resumed + found.failed, "task")
    of = "" if total is None else f" of {total:,}"
    rest = (
        f"the same command with --resume goes on with the journal {journal}"
        if journal
        else "a run with --journal PATH can go on with --resume"
    )
    return f"stopped by SIGTERM after {done}{of}; {rest}"


def _without_exit(step: Callable[[], T]) -> T:
    """Run a step of a job's own code; its sys.exit() is an error, not the end of the program."""
    from isocline.errors import UsageError

    try:
        return step()
    except SystemExit as error:
        raise UsageError(
            f"the job called sys.exit({error.code!r}); return from its functions instead, or raise "
            "an error"
        ) from error


def _write_files(result: "BatchResult", out: Path) -> None:
    from isocline.errors import UsageError
    from isocline.report.export.files import write_run

    try:
        _output.list_written(write_run(result, out))
    except OSError as error:
        raise UsageError(
            f"--out {out}: {error.strerror}; make room, or give another directory"
        ) from error


def _show_on_stderr(record: "RenderableType") -> None:
    """Print a table on stderr, as stdout has the results."""
    from rich.console import Console

    Console(stderr=True, markup=False, highlight=False, emoji=False).print(record)


@contextmanager
def _writer(path: Path | None, kept: list[dict[str, Any]] | None) -> Iterator[Write]:
    """Writer of results to a file, to the list for the JSON document, or to stdout."""
    if path is not None:
        with _opened(path) as file:
            lines = _Lines(file, f"--results {path}")
            yield lines.write
            lines.finish()
    elif kept is not None:
        yield kept.append
    else:
        yield _echo


def _opened(path: Path) -> IO[bytes]:
    """Open the file of results for this run alone; what is in it stays until there is a result."""
    import fcntl

    from isocline.errors import UsageError

    if not _takes_results(path):
        raise UsageError(
            f"--results {path}: this file has something else than results; give another path, or "
            "remove it"
        )
    try:
        # Without a buffer: no line may be left for the closing of the file.
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb", buffering=0)
    except OSError as error:
        raise UsageError(f"--results {path}: {error.strerror}; give a file to write to") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UsageError(
            f"--results {path}: another run writes to it; give another file, or wait for its end"
        ) from None
    except OSError:  # a file system without locks
        pass
    return file


def _takes_results(path: Path) -> bool:
    """Whether a path is free, or has results of an earlier run, or is no file, as a pipe."""
    try:
        if not path.is_file():
            return True
        with path.open("rb") as file:
            return file.read(len(_BEGINS)) in (b"", _BEGINS)
    except OSError:  # it may still be written
        return True


@final
class _Lines:
    """Writes results to a file, which always ends with a whole line.

    Earlier results are there until the first one comes, or the run ends without any: a run that is
    refused loses none.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._size = self._count = 0  # bytes and lines that are written

    def write(self, line: dict[str, Any]) -> None:
        """Raises OutputError."""
        data = json.dumps(line).encode() + b"\n"
        left = data
        try:
            self._clear()
            while left:
                left = left[self._file.write(left) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            with suppress(OSError):  # a pipe
                self._file.truncate(self._size)
            raise _unwritten(self._name, self._count, error) from error
        self._size += len(data)
        self._count += 1

    def finish(self) -> None:
        """End a run, of which there may be no result."""
        self._clear()

    def _clear(self) -> None:
        if not self._count:
            with suppress(OSError):  # a pipe
                self._file.truncate(0)


def _echo(line: dict[str, Any]) -> None:
    try:
        click.echo(json.dumps(line))
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is left in the buffer must not fail again when the interpreter closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _unwritten("stdout", None, error) from error


def _unwritten(name: str, count: int | None, error: OSError) -> "OutputError":
    from isocline.dispatch.errors import OutputError
    from isocline.plural import counted

    written = "" if count is None else f" after {counted(count, 'result')}"
    return OutputError(
        f"{name}: {error.strerror}{written}; make room and run again; of a run with --journal, "
        "--resume runs only what has not finished"
    )


@contextmanager
def _progress(total: int | None) -> "Iterator[Callable[[RunStatistics], None]]":
    """Progress bar on stderr, removed when done; lines if stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from isocline.report.tables.dispatch import rate, shares

    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLog(total, _tell_progress).watch
        return
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f}" + ("" if total is None else f"/{total:,}")),
        TextColumn("{task.fields[how]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)

    def watch(found: "RunStatistics") -> None:
        failed = f", {found.failed:,} failed" if found.failed else ""
        bar.update(task, completed=found.ended, how=f"{rate(found)}, {shares(found)}{failed}")

    with bar:
        task = bar.add_task("", total=total, how="")
        yield watch
