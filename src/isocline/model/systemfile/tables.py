"""Entries of a system file that are the rows of a table: CSV, JSON lines or Parquet.

A column has the values of one key of the entries; `curve.peak` is the key `peak` of `curve`. An
empty cell is a key that is not given. In a CSV, cells are read as YAML reads them: numbers are
numbers, but in columns of text; several names are separated by spaces.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import whole_number
from isocline.errors import UsageError
from isocline.model.traffic.table import read_table

Row = dict[str, Any]

_TEXTS = {"name", "url", "metrics", "model"}  # the last part of a column's name
_NAMES = {"backends", "resident"}
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")


@final
@dataclass(frozen=True, eq=False)
class Entries:
    """Entries, with their places in the table that they were read from."""

    where: str  # the table's path
    rows: list[Row]
    numbers: npt.NDArray[np.int64]  # of lines in a text, else of rows

    def place(self, i: int) -> str | None:
        """Place of an entry, for messages; None of one that is not in the table."""
        return f"{self.where}:{self.numbers[i]}" if i < self.numbers.size else None


def read_entries(path: Path, key: str) -> Entries:
    """Read the table of the entries of `key`.

    Raises:
        IsoclineError: It cannot be read, has no rows, or two columns of one name.
    """
    table = read_table(path, noun="table", row="row")
    names = table.names
    for i, name in enumerate(names):
        inside = [other for other in names if other.startswith(f"{name}.")]
        if name in names[:i] or inside:
            other = inside[0] if inside else name
            raise UsageError(f"{path}: has columns {name!r} and {other!r}; keep one of them")
    if not table.rows.size:
        raise UsageError(f"{path}: has no rows; give one for each of the {key}")
    columns = {
        name: _cells(name, table.columns[name]) if table.lines == "CSV" else _plain(column)
        for name, column in table.columns.items()
    }
    return Entries(str(path), _rows(columns), table.rows)


def _plain(column: Sequence[Any] | npt.NDArray[Any]) -> Sequence[Any]:
    values: Sequence[Any] = column.tolist() if isinstance(column, np.ndarray) else column
    if any(isinstance(value, dict) for value in values):
        return [_without_nulls(value) for value in values]
    return values


def _without_nulls(value: Any) -> Any:
    """Mappings without what is None: in Parquet all rows of a column have the same keys."""
    if isinstance(value, dict):
        return {key: _without_nulls(it) for key, it in value.items() if it is not None}
    return [_without_nulls(it) for it in value] if isinstance(value, list) else value


def _cells(name: str, cells: Sequence[str] | npt.NDArray[Any]) -> list[Any]:
    """Values of the cells of a CSV; None of empty ones."""
    last = name.rpartition(".")[2]
    read: Callable[[str], Any] = str if last in _TEXTS else _names if last in _NAMES else _value
    return [read(cell) if cell else None for cell in map(str.strip, cells)]


def _names(cell: str) -> list[str]:
    # "['a', 'b']" is how data frames write a list to a CSV.
    bare = cell.removeprefix("[").removesuffix("]").replace(",", " ")
    return [name.strip("'\"") for name in bare.split()]


def _value(cell: str) -> Any:
    if cell in _WORDS:
        return _WORDS[cell]
    try:
        return whole_number(cell) if _WHOLE.fullmatch(cell) else float(cell)
    except ValueError:
        return cell


def _rows(columns: dict[str, Sequence[Any]]) -> list[Row]:
    """One mapping for each row, without what is None."""
    flat = {name: values for name, values in columns.items() if "." not in name}
    for head in dict.fromkeys(name.partition(".")[0] for name in columns if "." in name):
        inside = {
            name.removeprefix(f"{head}."): values
            for name, values in columns.items()
            if name.startswith(f"{head}.")
        }
        flat[head] = [row or None for row in _rows(inside)]
    if not any(value is None for values in flat.values() for value in values):
        return [dict(zip(flat, row, strict=True)) for row in zip(*flat.values(), strict=True)]
    return [
        {name: value for name, value in zip(flat, row, strict=True) if value is not None}
        for row in zip(*flat.values(), strict=True)
    ]
