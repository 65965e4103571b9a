"""Traces from files of known formats, and from any table whose columns are named."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.arguments import POSITIVE, checked
from isocline.errors import TraceError
from isocline.model.traffic.columns import (
    FORMATS,
    UNITS,
    Columns,
    Format,
    format_of,
    known_formats,
)
from isocline.model.traffic.prompt_blocks import PromptBlocks, blocks_from
from isocline.model.traffic.rows import fail, trace_from
from isocline.model.traffic.table import Table, Values, read_table, table_of
from isocline.model.traffic.trace import FloatArray, Mix, Trace

# Seconds: the year 5138. A larger number is a time since 1970 in a smaller unit.
_LARGEST_TIME = 1e11
_DATE = "2023-11-16 18:17:03.979"
_BEFORE_ZONE = len("2023-11-16")


@checked(tick=POSITIVE)
def read_trace(
    source: Any,
    format: str = "auto",  # noqa: A002
    *,
    columns: Columns | Mapping[str, str] | None = None,
    time_unit: str | None = None,
    tick: float | None = None,
) -> Trace:
    """Read a trace.

    Args:
        source: Path of a CSV file, of JSON lines, packed by gzip or not, or of a Parquet file; "-"
            for stdin; a data frame, or a mapping from names to arrays.
        format: A name in FORMATS, or "auto" to tell by the columns.
        columns: In place of a format: which column is what, as {"time": "ts", "work": "seconds"};
            see `Columns`. Rows may then be in any order.
        time_unit: Of numeric times, "s" (the default), "ms", "us" or "ns"; not for dates.
        tick: s, of the clock that gave the times: requests of one time are spread over it evenly,
            see `Trace.spread`. By default they come at once.

    Raises:
        TraceError: The format is unknown, or the file is bad; the message names file and row.
        UsageError: `columns` names no time, an unknown key, or keys that contradict each other.
    """
    is_path = isinstance(source, str | os.PathLike)
    where = str(source) if is_path else "data frame"
    if time_unit is not None and time_unit not in UNITS:
        raise TraceError(f"{where}: time unit {time_unit!r}; give one of {', '.join(UNITS)}")
    if columns is not None:
        if format != "auto":
            raise TraceError(f"{where}: give either columns or the format {format!r}, not both")
        chosen = columns if isinstance(columns, Columns) else Columns.of(columns)
        table = read_table(Path(source), chosen.needed) if is_path else table_of(source)
        form = Format(chosen, table.lines, time_unit, size="a number", blocks=chosen.blocks)
        return _spread(_trace(table, form, strict=True), tick)
    if format not in ("auto", *FORMATS):
        raise TraceError(f"{where}: unknown trace format {format!r}; {known_formats()}")
    table = _table(source, FORMATS.get(format)) if is_path else table_of(source)
    if format == "auto":
        format = _format_of(table)  # noqa: A001
    form = FORMATS[format]
    if time_unit is not None:
        form = Format(form.columns, form.lines, time_unit, blocks=form.blocks)
    return _spread(_trace(table, form, strict=False), tick)


def _table(path: Any, form: Format | None) -> Table:
    """Columns of a known format; all of them if it is not known."""
    if form is None:
        return read_table(Path(path))
    return read_table(
        Path(path), form.columns.needed, () if form.blocks is None else (form.blocks,)
    )


def _spread(trace: Trace, tick: float | None) -> Trace:
    return trace if tick is None else trace.spread(tick)


def _format_of(table: Table) -> str:
    kinds = ("CSV", "JSON lines") if table.lines == "table" else (table.lines,)
    for lines in kinds:
        found = format_of(table.names, lines)
        if found is not None:
            return found
    names = ", ".join(table.names)
    raise TraceError(f"{table.where}: unknown trace format, columns {names:.80}; {known_formats()}")


def _trace(table: Table, form: Format, *, strict: bool) -> Trace:
    """`strict`: the user named the columns, so that all of them are to be used."""
    columns = form.columns
    sizes = {
        key: _numbers(table, name, form.size)
        for key in ("prompt", "output", "work")
        if (name := getattr(columns, key)) is not None
    }
    seconds = _seconds(table, columns.time, form.unit)
    mix, blocks = _mix(table, columns, strict), _blocks(table, form.blocks, strict)
    return trace_from(table.where, table.rows, seconds, sizes, mix, blocks, any_order=strict)


def _blocks(table: Table, name: str | None, strict: bool) -> PromptBlocks | None:
    """Blocks of the prompts; a format's column of them may be missing, a user's may not."""
    if name is None or not (strict or name in table.columns):
        return None
    return blocks_from(table.column(name), table.where, table.rows, name)


def _mix(table: Table, columns: Columns, strict: bool) -> Mix | None:
    key = "frontend" if columns.frontend is not None else "model"
    name = getattr(columns, key)
    if name is None:
        return None
    numbers: dict[str, int] = {}
    of = np.empty(table.rows.size, np.int32)
    for i, value in enumerate(table.column(name)):
        label = "" if value is None else str(value).strip()
        if not label and strict:
            fail(table.where, table.rows[i], f"{name} is empty; name the {key} or remove the row")
        of[i] = numbers.setdefault(label, len(numbers))
    return Mix(tuple(numbers), of, key, required=strict)


def _numbers(table: Table, name: str, remedy: str) -> FloatArray:
    """(n,) a column of numbers; text is one only in a CSV, whose values are all text."""
    values = table.column(name)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64)
    text = table.lines == "CSV"
    try:
        if text or all(type(value) in (int, float) for value in values):
            return np.array(values, dtype=np.float64)
    except (ValueError, OverflowError):
        pass
    for row, value in zip(table.rows, values, strict=True):
        if not _is_number(value, text):
            fail(table.where, row, f"{name} is {value!r:.40}; give {remedy}")
    return np.array([float(value) for value in values])  # numpy's own scalars, one by one


def _is_number(value: object, text: bool) -> bool:
    if isinstance(value, bool | np.bool_) or (isinstance(value, str) and not text):
        return False
    try:
        float(value)  # type: ignore[arg-type]  # refused below if it is none
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _seconds(table: Table, name: str, unit: str | None) -> FloatArray:
    """(n,) times in s, from anywhere on: numbers in `unit`, else dates."""
    values = table.column(name)
    if not len(values):
        return np.zeros(0)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return _since_first(table, values.astype("datetime64[ns]"))
    if not _is_number(values[0], table.lines == "CSV") and unit is None:
        return _since_first(table, _dates(table, name, values))
    numbers = _numbers(table, name, f"a time in {unit or 's'}")
    if not np.isfinite(numbers).all():
        bad = int(np.argmin(np.isfinite(numbers)))
        fail(table.where, table.rows[bad], f"{name} is not finite; correct or remove the row")
    if unit is None and np.abs(numbers).max() > _LARGEST_TIME:
        fail(
            table.where,
            table.rows[0],
            f"{name} is {values[0]}, which is no time in seconds since 1970; give the unit of "
            "time, ms, us or ns",
        )
    # From the first one on before scaling: what remains are small numbers.
    return np.asarray((numbers - numbers[0]) * UNITS[unit or "s"])


def _since_first(table: Table, stamps: npt.NDArray[np.datetime64]) -> FloatArray:
    """Nanoseconds since 1970 need 61 bits, so the first is taken off before turning to floats."""
    if np.isnat(stamps).any():
        fail(
            table.where,
            table.rows[int(np.argmax(np.isnat(stamps)))],
            "has no time; correct the row",
        )
    return (stamps - stamps[:1]).astype(np.float64) * 1e-9


def _dates(table: Table, name: str, values: Values) -> npt.NDArray[np.datetime64]:
    """UTC where a date names no zone."""
    try:
        return np.array([_utc(value) for value in values], dtype="datetime64[ns]")
    except (ValueError, TypeError):
        pass
    stamps = np.empty(len(values), "datetime64[ns]")
    for i, value in enumerate(values):
        try:
            stamps[i] = _instant(value)
        except (ValueError, TypeError):
            remedy = f"give a time as {_DATE}, or a number of s"
            fail(table.where, table.rows[i], f"{name} is {value!r:.40}; {remedy}")
    return stamps


def _utc(stamp: Any) -> Any:
    """Without the zone, which numpy's times do not have, where it is UTC."""
    if not isinstance(stamp, str):
        raise TypeError
    plain = stamp.strip().removesuffix("Z").removesuffix("+00:00")
    if "+" in plain or "-" in plain[_BEFORE_ZONE:]:
        raise ValueError
    return plain


def _instant(stamp: Any) -> np.datetime64:
    """A date with any zone."""
    when = stamp if isinstance(stamp, datetime) else datetime.fromisoformat(str(stamp).strip())
    if when.tzinfo is not None:
        when = when.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(when, "ns")
