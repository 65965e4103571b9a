"""A job on many Parquet files of one machine: `python -m benchmarks.parquet_job`.

So many files of so many rows each, by default 200 of 150 000 (`[FILES [ROWS [ROUNDS]]]`), whose
values are added up by key on two worker processes: by `ProcessPoolExecutor`, by the same with as
many threads for each worker as ours give theirs, by `Scheduler.map` and by `isocline run`, each as
a script of its own that prints a line for each result. Printed, as medians over rounds that take
the contestants in turn, and of the ratios to the pool in the same round: seconds from the start of
the script to its first result; for each result after the first third, when all workers have begun;
from its start to its end; and processor time of all its processes for each file that it has more
than a job of a third of them, which other work on the machine changes least.

All keep compiled bytecode in one folder, as installed packages have theirs: where Python is told to
write none, half a run would be the compilation of imports.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isocline.cores import usable_cores

WORKERS, KEYS = 2, 50

_SUMS = """
import pyarrow.parquet as pq

def sums(path):
    table = pq.read_table(path, columns=["item", "amount"])
    found = table.group_by("item").aggregate([("amount", "sum")])
    return dict(zip(found["item"].to_pylist(), found["amount_sum"].to_pylist()))
"""

_POOL = f"""
import json, sys
from concurrent.futures import ProcessPoolExecutor, as_completed
{_SUMS}
if __name__ == "__main__":
    with ProcessPoolExecutor({WORKERS}) as pool:
        futures = [pool.submit(sums, path) for path in open(sys.argv[1]).read().split()]
        for future in as_completed(futures):
            print(json.dumps(future.result()), flush=True)
"""

_FEW_THREADS = f"""
import os
os.environ["OMP_NUM_THREADS"] = "{max(usable_cores() // WORKERS, 1)}"  # pyarrow's, too
{_POOL}
"""

_SCHEDULER = f"""
import json, sys
from isocline import Scheduler
{_SUMS}
if __name__ == "__main__":
    with Scheduler(nodes={WORKERS}, everywhere=True, locations=lambda path: ["n0", "n1"]) as live:
        for found in live.map(sums, open(sys.argv[1]).read().split(), in_order=False):
            print(json.dumps(found), flush=True)
"""

_RUN = f"""
{_SUMS}
chunks = open("{{}}").read().split()
run = sums
"""


class Times(NamedTuple):
    """Seconds of one run."""

    first: float  # to the first result
    each: float  # per result, from the first third of them to the last
    all: float  # to the end of the process
    work: float  # processor time of the process and its children; in the end, for each result


def make_files(folder: Path, files: int, rows: int) -> list[str]:
    """Write files of a key, a value and two columns that nobody reads."""
    rng = np.random.default_rng(1)
    items = [f"item-{number}" for number in range(KEYS)]
    paths = []
    for number in range(files):
        item = pa.DictionaryArray.from_arrays(rng.integers(0, KEYS, rows, np.int32), items)
        columns = {
            "user": rng.integers(0, 1 << 40, rows),
            "item": item,
            "amount": rng.integers(0, 100_000, rows) / 100.0,
            "at": rng.random(rows),
        }
        path = folder / f"part-{number:03}.parquet"
        pq.write_table(pa.table(columns), path)
        paths.append(str(path))
    return paths


def with_bytecode(folder: Path) -> dict[str, str]:
    """Environment of processes that keep their bytecode in a folder."""
    rest = {name: it for name, it in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**rest, "PYTHONPYCACHEPREFIX": str(folder)}


def timed(command: Sequence[str], results: int, environment: Mapping[str, str]) -> Times:
    """Run a contestant, and note when its lines come."""
    began, before = time.perf_counter(), processor_time()
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        came = [time.perf_counter() for _ in process.stdout]
        said = process.stderr.read()
    took = time.perf_counter() - began
    if process.returncode != 0 or len(came) != results:
        raise RuntimeError(f"{len(came)} results of {results}: {said.decode()}")
    skipped = results // 3
    each = (came[-1] - came[skipped]) / (results - 1 - skipped)
    return Times(came[0] - began, each, took, processor_time() - before)


def processor_time() -> float:
    """Seconds of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def contestants(folder: Path, paths: Sequence[str]) -> dict[str, list[str]]:
    """Commands by name; the pool first."""
    folder.mkdir()
    listed = folder / "files"
    listed.write_text("\n".join(paths))
    scripts = {
        "pool": _POOL,
        "few_threads": _FEW_THREADS,
        "scheduler": _SCHEDULER,
        "run": _RUN.format(listed),
    }
    for name, text in scripts.items():
        (folder / f"{name}.py").write_text(text)
    return {
        "ProcessPoolExecutor": [sys.executable, str(folder / "pool.py"), str(listed)],
        "the same, few threads": [sys.executable, str(folder / "few_threads.py"), str(listed)],
        "Scheduler.map": [sys.executable, str(folder / "scheduler.py"), str(listed)],
        "isocline run": [
            *(sys.executable, "-m", "isocline", "run", str(folder / "run.py")),
            *("--workers", str(WORKERS)),
        ],
    }


def one_round(
    commands: dict[str, list[str]],
    fewer: dict[str, list[str]],
    files: int,
    few: int,
    environment: Mapping[str, str],
) -> dict[str, Times]:
    """Run all contestants in turn."""
    found = {}
    for name, command in commands.items():
        run, short = timed(command, files, environment), timed(fewer[name], few, environment)
        found[name] = run._replace(work=(run.work - short.work) / (files - few))
    return found


def ratios(name: str, rounds: Sequence[dict[str, Times]]) -> Times:
    """Medians of the ratios to the pool in the same round."""
    pairs = [(it[name], it["ProcessPoolExecutor"]) for it in rounds]
    each = ([mine / its for mine, its in zip(*pair, strict=True)] for pair in pairs)
    return Times(*(statistics.median(column) for column in zip(*each, strict=True)))


def main(files: int = 200, rows: int = 150_000, rounds: int = 5) -> None:
    few = files // 3
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        paths = make_files(folder, files, rows)
        commands = contestants(folder / "all", paths)
        fewer = contestants(folder / "few", paths[:few])
        environment = with_bytecode(folder / "bytecode")
        # The first fills caches, of compiled code and of files.
        taken = [one_round(commands, fewer, files, few, environment) for _ in range(rounds + 1)][1:]
    print(f"{files} files of {rows} rows, {WORKERS} workers, medians of {rounds} rounds")
    print(f"{'':22}{'first result':>20}{'ms a result then':>20}{'all':>18}{'ms of work each':>20}")
    for name in commands:
        middle = Times(*map(statistics.median, zip(*(it[name] for it in taken), strict=True)))
        beside = ratios(name, taken)
        cells = f"{middle.first:11.2f} s {beside.first:5.2f} x"
        cells += f"{1e3 * middle.each:12.2f} {beside.each:5.2f} x"
        cells += f"{middle.all:9.2f} s {beside.all:5.2f} x"
        print(f"{name:22}{cells}{1e3 * middle.work:12.2f} {beside.work:5.2f} x", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
