"""Tables as columns: CSV and JSON lines, packed by gzip or not, Parquet, and data frames."""

import csv
import difflib
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import in_one_line, whole_number
from isocline.errors import MissingExtraError, TraceError, UsageError
from isocline.model.traffic.columns import misread
from isocline.model.traffic.rows import fail

IndexArray = npt.NDArray[np.int64]
Values = Sequence[Any] | npt.NDArray[Any]

STDIN = "-"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"  # the first bytes of such files
csv.field_size_limit(sys.maxsize)  # a prompt's text may stand in a column that is not read


@final
@dataclass(frozen=True, eq=False)
class Table:
    """n rows, of which columns can be asked for by name.

    `rows` are the numbers that messages give: lines of a file, else rows of the table, from 1.
    """

    where: str  # for messages: the path of the file, or "data frame"
    names: tuple[str, ...]
    lines: str  # "CSV", "JSON lines", or "table" where values have types
    rows: IndexArray = field(repr=False)
    columns: dict[str, Values] = field(repr=False)

    def column(self, name: str) -> Values:
        """(n,) values; text in a CSV.

        Raises:
            TraceError: There is no such column.
        """
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = misread(name) or (f"did you mean {near[0]!r}? " if near else "")
            fail(
                self.where,
                1 if self.lines == "CSV" else None,
                f"has no column {name!r}; {hint}there are {', '.join(self.names)}",
            )
        return self.columns[name]


def read_table(
    path: Path,
    wanted: Sequence[str] | None = None,
    optional: Sequence[str] = (),
    *,
    noun: str = "trace",
    row: str = "request",
) -> Table:
    """Read a file, `-` being stdin; what is in it tells how it is written, not its name.

    Args:
        path: The file.
        wanted: The only columns to keep; all if None. Others may hold anything.
        optional: Further columns to keep, which rows may lack: there they hold None.
        noun: Noun for what it is, for messages.
        row: Noun for what one of its rows is.

    Raises:
        TraceError: It cannot be read, is empty, or a row has fewer or more fields than the header.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """
    data = _bytes(path, noun)
    kept = None if wanted is None else (*wanted, *optional)
    if data.startswith(_PARQUET):
        return _parquet(path, data, kept)
    text = _text(path, data)
    first = text.lstrip()[:1]
    if not first:
        raise TraceError(f"{path}: is empty; give a file with at least one {row}")
    if first == "[":
        fail(str(path), None, "is one JSON list; give JSON lines, one object per line")
    if first == "{":
        return _json_lines(path, text, wanted, optional)
    return _csv(path, text, kept)


def table_of(frame: Any) -> Table:
    """The columns of a data frame (pandas, polars) or of a mapping from names to arrays.

    Raises:
        UsageError: It is neither.
    """
    if not (isinstance(frame, Mapping) or hasattr(frame, "columns")):
        raise UsageError(
            f"trace {in_one_line(frame)}: give the path of a file, a data frame, or a mapping from "
            "names of columns to arrays"
        )
    names = tuple(str(name) for name in getattr(frame, "columns", frame))
    columns = {name: _array(frame[name]) for name in names}
    n = len(next(iter(columns.values()))) if columns else 0
    return Table("data frame", names, "table", np.arange(1, n + 1), columns)


def _array(column: Any) -> Values:
    if str(getattr(column, "dtype", "")).startswith("datetime64[ns,"):  # pandas, with a time zone
        return np.asarray(column.to_numpy(dtype="datetime64[ns]"))
    try:
        return np.asarray(column)
    except ValueError:  # lists of unequal lengths
        return list(column)


def _bytes(path: Path, noun: str) -> bytes:
    try:
        data = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
        return gzip.decompress(data) if data.startswith(_GZIP) else data
    except FileNotFoundError as error:
        raise TraceError(f"{path}: does not exist; give the path of a {noun} file") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: is a damaged gzip file ({error}); copy it again") from error
    except OSError as error:
        raise TraceError(
            f"{path}: cannot be read ({error.strerror}); give a readable file"
        ) from error


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TraceError(
            f"{path}: is not text; give CSV or JSON lines, packed by gzip or not, or Parquet"
        ) from error


def _csv(path: Path, text: str, wanted: Sequence[str] | None) -> Table:
    head = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    rows = (row for row in reader if row)
    names = tuple(name.strip() for name in next(rows))
    kept = [i for i, name in enumerate(names) if wanted is None or name in wanted]
    columns: list[list[str]] = [[] for _ in kept]
    numbers = []
    try:
        for row in rows:
            if len(row) != len(names):
                problem = f"has {len(row)} of {len(names)} fields; complete or remove the row"
                fail(str(path), reader.line_num, problem)
            numbers.append(reader.line_num)
            for column, i in zip(columns, kept, strict=True):
                column.append(row[i])
    except csv.Error as error:
        fail(str(path), reader.line_num, f"is not CSV ({error}); correct the row")
    found: dict[str, Values] = {names[i]: column for i, column in zip(kept, columns, strict=True)}
    return Table(str(path), names, "CSV", np.array(numbers, np.int64), found)


def _json_lines(
    path: Path, text: str, wanted: Sequence[str] | None, optional: Sequence[str]
) -> Table:
    numbers, entries = [], []
    for number, entry in _objects(path, text):
        numbers.append(number)
        entries.append(entry)
    names = tuple(dict.fromkeys(name for entry in entries for name in entry))
    columns: dict[str, Values] = {}
    for name in names if wanted is None else (*wanted, *optional):
        missing = next((i for i, entry in enumerate(entries) if name not in entry), None)
        if missing == 0 and not any(name in entry for entry in entries):
            continue  # no such column at all: `Table.column` says so if it is asked for
        if missing is not None and wanted is not None and name in wanted:
            fail(str(path), numbers[missing], f"{name} is missing; complete or remove the row")
        columns[name] = [entry.get(name) for entry in entries]
    return Table(str(path), names, "JSON lines", np.array(numbers, np.int64), columns)


def _objects(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line, parse_int=whole_number)
        except UsageError as error:
            fail(str(path), number, f"cannot be read: {error}")
        except (json.JSONDecodeError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
            fail(str(path), number, f"is not JSON ({reason}); complete or remove the row")
        if not isinstance(entry, dict):
            fail(str(path), number, f"is {line.strip()!r:.40}; give an object with the columns")
        yield number, entry


def _parquet(path: Path, data: bytes, wanted: Sequence[str] | None) -> Table:
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, and a third of a second
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: to read Parquet, pip install pyarrow; or write it as CSV"
        ) from error
    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        names = tuple(file.schema_arrow.names)
        kept = [name for name in names if wanted is None or name in wanted]
        table = file.read(columns=kept)
    except (pa.ArrowException, OSError) as error:
        problem = str(error).partition("\n")[0]
        raise TraceError(f"{path}: is damaged Parquet ({problem}); copy it again") from error
    columns: dict[str, Values] = {}
    for name in kept:
        column = table[name]
        kind = column.type
        plain = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        typed = (plain or pa.types.is_timestamp(kind)) and column.null_count == 0
        columns[name] = column.to_numpy() if typed else column.to_pylist()
    rows = np.arange(1, table.num_rows + 1)
    return Table(str(path), names, "table", rows, columns)
