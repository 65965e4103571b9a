"""Tables of Markdown, as in READMEs of benchmarks: columns named as in a CSV (`columns`).

A table is a header between pipes, a line of dashes, and rows. Tables without known columns are left
out, and told. Emphasis, code marks and links around a value are taken off, and a number may have
commas between its thousands, as in 1,234.5. Where several tables have results, the heading above
each makes a curve of its own, if the tables do not name what tells them apart.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, TextIO, final

from isocline.measurements.formats.columns import read_rows
from isocline.measurements.formats.fields import UnknownFormatError
from isocline.measurements.runs import BenchmarkRun

_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")
_BADGE = re.compile(r"\s*\[(!\[[^\]]*|[^\]\"{}]*)\]\(")  # a line that begins with a link
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")
_PIPE = re.compile(r"(?<!\\)\|")
_MARKS = "*_`~ "
_HELP = (
    "has no table of results: name a column of workloads (workload, concurrency) and one of rates "
    "(rate or requests_per_second, or tokens_per_second)"
)

Row = tuple[list[str], str]  # cells, and the place of the line


@final
class _Table(NamedTuple):
    heading: str  # above it; "" if there is none
    rows: list[Row]  # the header first


def begins_with_link(line: str) -> bool:
    """Whether a line is a link or a picture, which the brackets of a JSON list never are."""
    return bool(_BADGE.match(line))


def has_table(lines: Iterable[str]) -> bool:
    """Whether some line with a pipe is above one of dashes with one."""
    before = ""
    for line in lines:
        if "-" in line and "|" in line and "|" in before and _RULE.fullmatch(line.rstrip("\r\n")):
            return True
        before = line
    return False


def read(
    file: TextIO, source: str, left_out: Callable[[UnknownFormatError], None] = lambda _: None
) -> list[BenchmarkRun]:
    """The runs of all tables that have known columns.

    Args:
        file: The text.
        source: Its name in messages.
        left_out: Called with what is unknown of each other table.

    Raises:
        UsageError: None has, or a row is wrong.
    """
    found: list[tuple[str, list[BenchmarkRun]]] = []
    unknown: list[UnknownFormatError] = []
    for table in _tables(file, source):
        try:
            found.append((table.heading, read_rows(iter(table.rows), source)))
        except UnknownFormatError as error:
            unknown.append(error)
    if not found:
        raise UnknownFormatError(f"{source}: {_HELP}")
    for reason in unknown:
        left_out(reason)
    if len(found) == 1:
        return found[0][1]
    return [
        replace(run, labels={"section": heading, **run.labels} if heading else run.labels)
        for heading, runs in found
        for run in runs
    ]


def _tables(lines: Iterable[str], source: str) -> Iterator[_Table]:
    heading, before = "", ""
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if rows and "|" in text:
            rows.append(_cells(text, f"{source}, line {number}", len(rows[0][0])))
            continue
        if rows:
            yield _Table(heading, rows)
            rows = []
        if text.startswith("#"):
            heading = _bare(text.lstrip("#"))
        elif "|" in text and "|" in before and _RULE.fullmatch(text):
            rows = [_cells(before, f"{source}, line {number - 1}")]
        before = text
    if rows:
        yield _Table(heading, rows)


def _cells(text: str, place: str, width: int = 0) -> Row:
    """The cells of a line; as many as the header has, where it is given, as GitHub shows them."""
    inner = text.removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    cells = [_bare(cell) for cell in _PIPE.split(inner)]
    return (cells + [""] * width)[:width] if width else cells, place


def _bare(cell: str) -> str:
    """A cell without emphasis, links and commas between thousands."""
    text = _LINK.sub(r"\1", cell).strip().strip(_MARKS).replace("\\|", "|")
    return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text
