"""The Mooncake traces: one JSON object per line, with times in milliseconds.

kvcache-ai/Mooncake, `FAST25-release/traces/*.jsonl` (Qin et al., *Mooncake*, FAST 2025). The
`hash_ids` of the prompt's cache blocks are not needed for routing and are not kept.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from isocline.model.traffic.rows import fail, text_of, trace_from
from isocline.model.traffic.trace import Trace

FIELDS = ("timestamp", "input_length", "output_length")


def read_mooncake(path: Path) -> Trace:
    """Read a file; raises TraceError with the row of what is wrong."""
    numbers, rows = [], []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if line.strip():
            numbers.append(number)
            rows.append(_request(path, number, line))
    milliseconds, prompt, output = np.array(rows, dtype=np.float64).T
    if not np.isfinite(milliseconds).all():
        row = numbers[int(np.argmin(np.isfinite(milliseconds)))]
        fail(path, row, "timestamp is not finite; correct or remove the row")
    return trace_from(path, np.array(numbers, np.int64), milliseconds / 1e3, prompt, output)


def _request(path: Path, number: int, line: str) -> tuple[float, float, float]:
    try:
        entry: Any = json.loads(line)
    except json.JSONDecodeError as error:
        fail(path, number, f"is not JSON ({error.msg}); complete or remove the row")
    if not isinstance(entry, dict):
        fail(path, number, f"is {line!r:.40}; give an object with {', '.join(FIELDS)}")
    for name in FIELDS:
        value = entry.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            found = f"{name} is {value!r:.40}" if name in entry else f"{name} is missing"
            fail(path, number, f"{found}; give a number")
    return entry[FIELDS[0]], entry[FIELDS[1]], entry[FIELDS[2]]
