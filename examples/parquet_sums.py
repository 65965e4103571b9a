"""Sums of many Parquet files, computed at the nodes that hold them; needs pyarrow.

isocline run examples/parquet_sums.py

Three nodes with a directory each; every file is in two of them. For your own data give directories
that are there, and leave out the part that writes files.
"""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

disks = TemporaryDirectory()  # gone at the end
nodes = {name: Path(disks.name, name) for name in ("ash", "elm", "oak")}
draw = random.Random(1)
for number in range(12):
    table = pa.table({"value": [draw.randrange(1000) for _ in range(5000)]})
    for node in draw.sample(list(nodes), 2):
        nodes[node].mkdir(exist_ok=True)
        pq.write_table(table, nodes[node] / f"part-{number:02}.parquet")


def load(path):
    """Read the one column that is summed; at a node without the file, after it was fetched."""
    return pq.read_table(path, columns=["value"])


def run(table):
    """Sum one file; the result is one line of JSON."""
    return {"rows": table.num_rows, "sum": sum(table["value"].to_pylist())}
