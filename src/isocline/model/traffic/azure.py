"""The Azure LLM inference traces: CSV with TIMESTAMP,ContextTokens,GeneratedTokens.

Azure/AzurePublicDataset, `AzureLLMInferenceTrace_*.csv` of 2023 and 2024 (Patel et al.,
*Splitwise*, ISCA 2024). The files of 2024 end their times with +00:00.
"""

import csv
from pathlib import Path

import numpy as np

from isocline.model.traffic.rows import fail, text_of, trace_from
from isocline.model.traffic.trace import Trace

HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]


def read_azure(path: Path) -> Trace:
    """Read a file; raises TraceError with the row of what is wrong."""
    reader = csv.reader(text_of(path).splitlines())
    header = [name.strip() for name in next(reader)]
    if header != HEADER:
        fail(path, 1, f"the header is {','.join(header)!r:.60}; it must be {','.join(HEADER)}")
    rows = [(number, row) for number, row in enumerate(reader, start=2) if row]
    for number, row in rows:
        if len(row) != len(HEADER):
            fail(
                path, number, f"has {len(row)} of {len(HEADER)} fields; complete or remove the row"
            )
    times = [_utc(row[0]) for _, row in rows]
    try:
        stamps = np.array(times, dtype="datetime64[ns]")
        prompt = np.array([row[1] for _, row in rows], dtype=np.float64)
        output = np.array([row[2] for _, row in rows], dtype=np.float64)
    except ValueError:
        for number, row in rows:
            _refuse(path, number, row)
        raise  # numpy refuses a column only for one of its values
    if np.isnat(stamps).any():
        fail(path, rows[int(np.argmax(np.isnat(stamps)))][0], "has no time; correct the row")
    # From the first request on before turning to floats: nanoseconds since 1970 need 61 bits.
    seconds = (stamps - stamps[:1]).astype(np.float64) * 1e-9
    return trace_from(path, np.array([n for n, _ in rows], np.int64), seconds, prompt, output)


def _utc(stamp: str) -> str:
    """Without the zone, which numpy's times do not have; it is UTC throughout."""
    return stamp.strip().removesuffix("Z").removesuffix("+00:00")


def _refuse(path: Path, number: int, row: list[str]) -> None:
    """Raise for a row with a field that cannot be read."""
    try:
        np.datetime64(_utc(row[0]), "ns")
    except ValueError:
        example = "2023-11-16 18:17:03.979"
        fail(path, number, f"TIMESTAMP is {row[0]!r}; give a time as {example}")
    for name, value in zip(HEADER[1:], row[1:], strict=True):
        try:
            float(value)
        except ValueError:
            fail(path, number, f"{name} is {value!r}; give a number of tokens")
