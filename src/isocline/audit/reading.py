"""Reading of access logs: line by line, packed by gzip or not, one file after the other."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast, final

import numpy as np

from isocline.audit.doubles import Overlap
from isocline.audit.formats.recognise import SAMPLE, LineParser, recognised
from isocline.audit.records import AccessRecords, Collector
from isocline.errors import TraceError

_GZIP = b"\x1f\x8b"
_STDIN = "-"
_BUFFER = 1 << 20  # bytes
# s: the clock of all these routers has ms, and nothing is finer.
_TICK = 1e-3
# A pause is cut out that is so many times as long as the mean gap, and this long at least: between
# two files of which one is missing, or at night.
_PAUSE_GAPS, _LEAST_PAUSE = 300.0, 10.0
_SHOWN = 100  # characters of a line in a message
# s, some months: a duration beyond it is a damaged field, and alone would stretch the log to it.
_LONGEST_STAY = 1e7


@final
@dataclass
class Unread:
    """Lines that could not be read."""

    count: int = 0
    first: str = ""  # file, line number and the line's beginning


@final
@dataclass(frozen=True, eq=False)
class Log:
    """Everything that was read of the files."""

    files: tuple[str, ...]
    formats: tuple[str, ...]  # distinct, in the order of the files
    lines: int
    unread: Unread
    without_backend: int  # requests that no backend had, or none that ever served
    coarse: bool  # times are to the second
    pauses: tuple[int, float]  # cut out: their number, and s in all
    doubled: int  # requests that a file had, too, which came before; they count once
    routers: tuple[str, ...]  # files of the same time with other requests, as of several routers
    records: AccessRecords = field(repr=False)


def read_log(paths: Sequence[Path], given: str | None = None) -> Log:
    """Read access logs, in any order: what is in them says how they are written, and when it was.

    Args:
        paths: Files; `-` is stdin.
        given: A format of the user's: a template, or a file of nginx's configuration.

    Raises:
        TraceError: A file cannot be read, its format is unknown or lacks what an audit needs, or
            no line can be read.
        UsageError: `given` is no format.
    """
    collector, unread = Collector(), Unread()
    formats: dict[str, None] = {}
    lines = 0
    for path in paths:
        collector.begin_file()
        with _opened(path) as text:
            parser, read = _read_file(path, text, given, collector, unread)
        formats[parser.name] = None
        lines += read
    if not len(collector):
        reason = f"; the first that cannot be read is {unread.first}" if unread.count else ""
        if collector.without_backend:
            reason += f"; {collector.without_backend} requests went to no backend"
        raise TraceError(
            f"{', '.join(map(str, paths))}: has no request that went to a backend{reason}"
        )
    records = collector.records(_TICK)
    if not records.start.size:
        raise TraceError(
            f"{', '.join(map(str, paths))}: no backend served a request; an audit needs some that "
            "were"
        )
    records, pauses = _without_pauses(records)
    return Log(
        tuple(map(str, paths)),
        tuple(formats),
        lines,
        unread,
        collector.without_backend,
        collector.coarse,
        pauses,
        collector.doubled,
        _routers(paths, collector.overlaps),
        records,
    )


def _routers(paths: Sequence[Path], found: Sequence[Overlap]) -> tuple[str, ...]:
    files = sorted({f for it in found if not it.doubled.size for f in (it.one, it.other)})
    return tuple(str(paths[f]) for f in files)


def _read_file(
    path: Path, text: io.TextIOWrapper, given: str | None, collector: Collector, unread: Unread
) -> tuple[LineParser, int]:
    """Parser of a file, and the lines that it has."""
    numbered = enumerate(_bounded(path, text), start=1)
    filled = ((number, line) for number, line in numbered if line and not line.isspace())
    sample = list(islice(filled, SAMPLE))
    if not sample:
        raise TraceError(f"{path}: is empty; give an access log with some lines")
    parser = recognised(str(path), [line for _, line in sample], given)
    count = 0
    add, parse = collector.add, parser.parse
    for number, line in chain(sample, filled):
        count += 1
        try:
            found = parse(line)
            if found is not None and found.end - found.start > _LONGEST_STAY:
                raise ValueError(found.end - found.start)
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError):
            if not unread.count:
                unread.first = f"{path}:{number}: {line[:_SHOWN]!r}"
            unread.count += 1
            continue
        if found is not None:
            add(found)
    return parser, count


def _bounded(path: Path, text: io.TextIOWrapper) -> Iterator[str]:
    """Lines without their ends; a damaged file ends in an error of ours."""
    try:
        for line in text:
            yield line.rstrip("\r\n")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: is a damaged gzip file ({error}); copy it again") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextmanager
def _opened(path: Path) -> Iterator[io.TextIOWrapper]:
    """The text of a file, unpacked; closed afterwards, but for stdin."""
    with ExitStack() as stack:
        try:
            file = sys.stdin.buffer
            if str(path) != _STDIN:
                file = stack.enter_context(path.open("rb", buffering=_BUFFER))
            packed = cast(io.BufferedReader, file).peek(2)[:2] == _GZIP
        except FileNotFoundError as error:
            raise TraceError(f"{path}: does not exist; give the path of an access log") from error
        except OSError as error:
            raise TraceError(
                f"{path}: cannot be read ({error.strerror}); give a readable file"
            ) from error
        plain: BinaryIO = file
        if packed:
            plain = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=file)))
        text = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="replace", newline="\n")
        stack.callback(text.detach)  # the file beneath is closed by itself
        yield text


def _without_pauses(records: AccessRecords) -> tuple[AccessRecords, tuple[int, float]]:
    """Records with the pauses cut out in which no request was under way; their number and length.

    A file that is missing between two others would otherwise count as time without arrivals.
    """
    begin, end = records.start, np.maximum.accumulate(records.end)
    idle = begin[1:] - end[:-1]
    if not idle.size:
        return records, (0, 0.0)
    gaps = np.diff(begin)
    usual = float(np.quantile(gaps, 0.9))
    long = np.flatnonzero(idle > max(_PAUSE_GAPS * usual, _LEAST_PAUSE))
    if not long.size:
        return records, (0, 0.0)
    cut = idle[long] - usual
    return records.shifted(begin[1:][long], cut), (int(long.size), float(cut.sum()))
