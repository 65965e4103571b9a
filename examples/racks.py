"""Forty chunks on three nodes in two racks: `isocline run examples/racks.py`.

Most chunks are at `ash`. The table at the end says how many tasks ran where their data is, in its
rack, and remotely, and how long those of each level took.
"""

import time

racks = {"ash": "r1", "elm": "r1", "oak": "r2"}
locations = {f"part-{number}": ["ash"] for number in range(38)}
locations |= {"part-38": ["elm"], "part-39": ["oak"]}
chunks = list(locations)


def run(chunk):
    """Take a while."""
    time.sleep(0.05)
    return len(chunk)
