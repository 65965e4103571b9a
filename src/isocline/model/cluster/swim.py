"""The SWIM traces of MapReduce clusters: tab-separated, a job a line, with what it read.

SWIMProjectUCB/SWIM, `workloadSuite/FB-2010_samples_24_times_1hr_withInputPaths_0.tsv` and its like
(Chen, Alspaugh, Katz, *Interactive Analytical Processing in Big Data Systems*, VLDB 2012). Fields:
job, submit time in s, gap to the job before in s, map input bytes, shuffle bytes, output bytes, and
in files that end in `withInputPaths` the input path.
"""

import os
from pathlib import Path

import numpy as np

from isocline.arguments import at_least, checked
from isocline.errors import TraceError, UsageError
from isocline.model.cluster.blocks import BlockTrace, IndexArray
from isocline.model.cluster.placement import IntArray
from isocline.model.traffic.rows import fail, text_of

BLOCK_BYTES = 128 * 2**20  # HDFS's default since Hadoop 2
_JOB, _TIME, _INPUT, _PATH = 0, 1, 3, 6
_NAMES = {_TIME: ("submit time", "whole number of seconds"), _INPUT: ("input", "number of bytes")}


@checked(block_bytes=at_least(1))
def read_swim(path: str | os.PathLike[str], block_bytes: int = BLOCK_BYTES) -> BlockTrace:
    """Read a trace: each block of a job's input is a task; a job without input has one task.

    Jobs with the same input path read the same chunks. In a file without paths each job reads a
    path of its own.

    Raises:
        TraceError: The file is bad; the message names the file, the row and what to do.
        UsageError: `block_bytes` is below 1.
    """
    if block_bytes < 1:
        raise UsageError(f"block_bytes is {block_bytes}; give a number of bytes above 0")
    path = Path(path)
    lines = enumerate(text_of(path, "job").splitlines(), start=1)
    numbered = [(row, line.split("\t")) for row, line in lines if line.strip()]
    rows = np.array([row for row, _ in numbered], np.int64)
    fields = [row for _, row in numbered]
    _require_fields(path, rows, fields)
    times = _whole_numbers(path, rows, fields, _TIME)
    back = np.flatnonzero(np.diff(times) < 0)
    if back.size:
        by = times[back[0]] - times[back[0] + 1]
        fail(path, int(rows[back[0] + 1]), f"time goes back by {by} s; sort the rows by time")
    blocks = np.maximum(1, -(-_whole_numbers(path, rows, fields, _INPUT) // block_bytes))
    seconds = (times - times[0]).astype(np.float64)
    if seconds.size > 1 and seconds[-1] == 0:
        raise TraceError(f"{path}: all jobs come at one time; a rate needs at least two times")
    n = seconds.size
    length = float(seconds[-1]) * n / (n - 1) if n > 1 else 1.0
    return BlockTrace.from_jobs(path.name, seconds, blocks, _paths(path, rows, fields), length)


def _require_fields(path: Path, rows: IndexArray, fields: list[list[str]]) -> None:
    """Six fields in each row, or at least seven in each."""
    with_paths = len(fields[0]) > _PATH
    for row, found in zip(rows, fields, strict=True):
        if len(found) < _PATH:
            fail(
                path,
                int(row),
                f"has {len(found)} fields; give job, submit time, gap, input bytes, shuffle bytes, "
                "output bytes and, if known, input path, with tabs between",
            )
        if (len(found) > _PATH) != with_paths:
            has, first = ("an", "has none") if len(found) > _PATH else ("no", "has one")
            fail(path, int(row), f"has {has} input path, and line {rows[0]} {first}; complete both")


def _whole_numbers(
    path: Path, rows: IndexArray, fields: list[list[str]], column: int
) -> IndexArray:
    """(n,) a column of numbers that are not negative."""
    name, what = _NAMES[column]
    try:
        numbers = np.array([row[column] for row in fields]).astype(np.int64)
    except (ValueError, OverflowError):
        for row, found in zip(rows, fields, strict=True):
            if not found[column].strip().isdecimal() or int(found[column]) >= 2**63:
                fail(path, int(row), f"{name} is {found[column]!r}; give a {what}")
        raise  # numpy refuses a column only for one of its values
    bad = np.flatnonzero(numbers < 0)
    if bad.size:
        fail(path, int(rows[bad[0]]), f"{name} is {numbers[bad[0]]}; give a {what}, 0 or more")
    return numbers


def _paths(path: Path, rows: IndexArray, fields: list[list[str]]) -> IntArray:
    """(n,) a number for each different input path."""
    if len(fields[0]) <= _PATH:
        return np.arange(len(fields), dtype=np.int32)
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(row[_PATH].strip(), len(numbers)) for row in fields]
    if "" in numbers:
        fail(path, int(rows[found.index(numbers[""])]), "has no input path; give one")
    return np.array(found, np.int32)
