"""Benchmark files of any known format, told apart by what is in them."""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

from isocline.arguments import checked
from isocline.errors import UsageError
from isocline.measurements.curve import MeasuredCurve
from isocline.measurements.formats import (
    aiperf,
    columns,
    guidellm,
    inferencex,
    markdown,
    prometheus,
    vllm,
)
from isocline.measurements.formats.fields import UnknownFormatError
from isocline.measurements.runs import BenchmarkRun, curve_of, curves_of, unit_of


class _Format(NamedTuple):
    """Format of a JSON document."""

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any, str], list[BenchmarkRun]]


# All but Prometheus, whose files are read together.
_DOCUMENTS = (
    _Format("vLLM bench", vllm.matches, vllm.read),
    _Format("GuideLLM", guidellm.matches, guidellm.read),
    _Format("AIPerf", aiperf.matches, aiperf.read),
    _Format("InferenceX", inferencex.matches, inferencex.read),
)
KNOWN = (
    "vLLM bench serve and bench sweep, SGLang bench_serving, GuideLLM, AIPerf (.json and .jsonl), "
    "InferenceX, Prometheus range queries, and CSV or tables of Markdown with named columns"
)
_SUFFIXES = (".json", ".jsonl", ".csv", ".json.gz", ".jsonl.gz", ".csv.gz")
_MARKDOWN = (".md", ".markdown", ".md.gz", ".markdown.gz")
Told = Callable[[UsageError], None]
Answers = list[prometheus.Answer]
_GZIP = b"\x1f\x8b"
_DEEP = "is nested too deeply"
_REMEDY = "copy it again, or leave it out"


@checked()
def measured_curves(
    files: Sequence[str | PathLike[str]], unit: Literal["jobs", "tokens"] | None = None
) -> tuple[MeasuredCurve, ...]:
    """Read benchmark results, and fit a curve for each model and machine in them.

    Args:
        files: Their paths, or those of directories.
        unit: Of the rates; None: jobs where the results have them, else tokens.

    Raises:
        UsageError: A file cannot be read, is of no known format, or is wrong.
    """
    found = curves_of(read_benchmarks([Path(file) for file in files]))
    common = unit_of([run for one in found for run in one.runs], unit)
    return tuple(curve_of(one, common) for one in found)


class _Found(NamedTuple):
    """What is read beside runs."""

    answers: Answers  # of Prometheus, which are read together
    left_out: Told  # of tables and files that are no results


def _ignored(_: UsageError) -> None:
    pass


def formats_of(document: Any) -> list[str]:
    """Names of the formats that a JSON document is of: one, unless somebody has joined two."""
    found = [one.name for one in _DOCUMENTS if one.matches(document)]
    return [*found, "Prometheus"] if prometheus.matches(document) else found


def read_benchmarks(
    paths: Sequence[Path], unread: Told | None = None, left_out: Told = _ignored
) -> list[BenchmarkRun]:
    """Read files, and what is in directories that is of a known format.

    Args:
        paths: Files and directories.
        unread: Called with what is wrong with a file of a directory, after which the others go on;
            None: it is raised. A file that is named itself must be right.
        left_out: Called with what is unknown of each file of a directory that is no result of a
            benchmark, and of each such table in Markdown beside others.

    Raises:
        UsageError: A file cannot be read, is of no known format, or is wrong; the message names
            the file and the place in it.
    """
    runs: list[BenchmarkRun] = []
    found = _Found([], left_out)
    for path in paths:
        if path.is_dir():
            runs += _directory(path, found, unread)
        else:
            runs += _file(path, found)
    if found.answers:
        runs += prometheus.runs_of(found.answers)
    if not runs:
        raise UsageError("no runs in these files; give the results of a benchmark")
    return runs


def _directory(path: Path, found: _Found, unread: Told | None) -> list[BenchmarkRun]:
    """Runs of the files below a directory that are of a known format."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    # Tables of a README show again what is in files beside it: they would count twice.
    for suffixes in (_SUFFIXES, _MARKDOWN):
        runs: list[BenchmarkRun] = []
        unknown: list[UsageError] = []
        here = _Found([], unknown.append)
        for file in files:
            if file.name.endswith(suffixes) and not _is_in_summary(file):
                _collect(file, runs, here, unread)
        if runs or here.answers:
            found.answers.extend(here.answers)
            for error in unknown:
                found.left_out(error)
            return runs
    raise UsageError(f"{path}: has no file that can be read, of a known format; known: {KNOWN}")


def _is_in_summary(file: Path) -> bool:
    """Whether these are the records of a run beside its summary, where they would count twice."""
    return file.suffix == ".jsonl" and file.with_name(f"{file.stem}_aiperf.json").exists()


def _collect(file: Path, runs: list[BenchmarkRun], found: _Found, unread: Told | None) -> None:
    """Add what is in a file of a directory, where it is of a known format."""
    mine = _Found([], found.left_out)
    try:
        runs += _file(file, mine)
        found.answers.extend(mine.answers)
    except UnknownFormatError as error:
        found.left_out(error)
    except UsageError as error:
        if unread is None:
            raise
        unread(error)


def _file(path: Path, found: _Found) -> list[BenchmarkRun]:
    stem = path.name
    for suffix in (".gz", ".json", ".jsonl", ".csv", ".txt", ".tsv", ".md", ".markdown"):
        stem = stem.removesuffix(suffix)
    return [replace(run, file=stem) for run in _runs(path, found)]


def _runs(path: Path, found: _Found) -> list[BenchmarkRun]:
    source = str(path)
    with _opened(path) as file, _located(source):
        head = _first_line(file)
        if not head.strip():
            raise UnknownFormatError(f"{source}: is empty; leave it out")
        if head.lstrip()[:1] not in "{[" or markdown.begins_with_link(head):
            file.seek(0)
            tables = markdown.has_table(file)
            file.seek(0)
            if tables:
                return markdown.read(file, source, found.left_out)
            return columns.read_table(file, source)
        first = _parsed(head)
        if first is not None:
            if not _first_line(file):
                return _document(first, source, found.answers)
            file.seek(0)
            return _lines(file, first, source, found.answers)
        file.seek(0)
        return _document(_loaded(file.read(), source), source, found.answers)


def _document(document: Any, source: str, answers: Answers) -> list[BenchmarkRun]:
    if len(found := formats_of(document)) > 1:
        raise UsageError(
            f"{source}: has the fields of {' and of '.join(found)}; keep those of one of them"
        )
    if prometheus.matches(document):
        answers.append(prometheus.read_answer(document, source))
        return []
    for one in _DOCUMENTS:
        if one.matches(document):
            return one.read(document, source)
    if aiperf.matches_line(document):
        return aiperf.read_lines([(document, source)], source)
    raise UnknownFormatError(f"{source}: {_described(document)}; known: {KNOWN}")


def _described(document: Any) -> str:
    if isinstance(document, Mapping):
        names = ", ".join(map(str, list(document)[:6]))
        return (
            f"is JSON of no known format, with {' '.join(names.split())!s:.120}"
            if names
            else ("is an empty JSON object")
        )
    if isinstance(document, list):
        return "is a JSON list of no known format" if document else "is an empty JSON list"
    return "is JSON of no known format"


def _lines(file: TextIO, first: Any, source: str, answers: Answers) -> list[BenchmarkRun]:
    """JSON lines: records of requests, or one result a line."""
    documents = _parsed_lines(file, source)
    if aiperf.matches_line(first):
        return aiperf.read_lines(documents, source)
    if not (formats_of(first)):
        raise UnknownFormatError(f"{source}: line 1 {_described(first)}; known: {KNOWN}")
    return [run for document, place in documents for run in _document(document, place, answers)]


def _parsed_lines(file: TextIO, source: str) -> Iterator[tuple[Any, str]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            place = f"{source}, line {number}"
            yield _loaded(line, place), place


def _first_line(file: TextIO) -> str:
    """The first line that is not blank."""
    return next((line for line in file if line.strip()), "")


def _parsed(text: str) -> Any:
    """A JSON object, or None if the text is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, Mapping) else None


def _loaded(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        end = "ends too early" if error.pos >= len(text.rstrip()) else f"is no JSON ({error.msg})"
        raise UsageError(f"{source}: {at}: {end}; {_REMEDY}") from error
    except RecursionError:
        raise UsageError(f"{source}: {_DEEP}; {_REMEDY}") from None
    except ValueError as error:  # integers of thousands of digits
        raise UsageError(f"{source}: is no JSON ({error}); {_REMEDY}") from error


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """The file as text that can be read again, unpacked where it is gzip."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            data: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(data, encoding="utf-8-sig", newline="") as text:
                yield text
    except FileNotFoundError as error:
        raise UsageError(
            f"{path}: does not exist; give the path of a benchmark's result"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text; unpack it, or leave it out") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: is a damaged gzip file ({error}); {_REMEDY}") from error
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); give a readable file"
        ) from error


@contextmanager
def _located(source: str) -> Iterator[None]:
    """Name the file where a number is so large that doubles overflow."""
    try:
        yield
    except (OverflowError, ZeroDivisionError, MemoryError) as error:
        raise UsageError(f"{source}: has numbers out of range ({error}); {_REMEDY}") from error
