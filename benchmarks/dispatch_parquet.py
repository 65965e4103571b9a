"""Chunks of `dispatch_policies` that are Parquet files: a key and a whole number in each row."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KEYS = 16
# Bytes of a row: 4 bits of key, packed by the dictionary, and 4 bytes of value; and of a file
# without any, in schema, page headers and footer.
ROW, EMPTY = 4.5, 750
_LEAST, _MOST = -1_000_000, 1_000_000  # values; what they add up to is exact


def parquet(rng: np.random.Generator, size: int) -> tuple[bytes, dict[int, int]]:
    """A file of about so many bytes, and the sum of the values of each key, as NumPy has it."""
    count = max(1, round((size - EMPTY) / ROW))
    keys = rng.integers(0, KEYS, count, np.int32)
    values = rng.integers(_LEAST, _MOST, count, np.int32)
    file = io.BytesIO()
    table = pa.table({"key": keys, "value": values})
    pq.write_table(table, file, compression="none", use_dictionary=["key"])
    sums = np.bincount(keys, values, KEYS)  # floats, which hold such whole numbers exactly
    return file.getvalue(), {int(key): int(sums[key]) for key in np.unique(keys)}
