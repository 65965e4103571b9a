"""Start-up of verbs as whole processes: the first, which compiles, and those that load kernels.

`python -m benchmarks.start_up [--rounds N] [--rival PYTHONPATH]` prints processor and wall time.
`--rival` names the `src` of another checkout, whose starts take turns with those of this one, so
that both meet the same load of the machine. Kernels and bytecode are kept in directories of their
own, one for each checkout: a first start finds no kernel, and all starts find bytecode.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import isocline

HERE = Path(isocline.__file__).parents[1]
EXAMPLES = HERE.parent / "examples"
VERBS = (
    ("plan", "mixed_fleet.yaml"),
    ("simulate", "n_model.yaml"),
)


def start(verb: str, file: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Processor and wall time of one process, s."""
    command = (sys.executable, "-m", "isocline", verb, str(EXAMPLES / file))
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def environment_of(source: str, scratch: Path) -> dict[str, str]:
    """The environment of processes that run a checkout."""
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    kept = {"NUMBA_CACHE_DIR": str(scratch / "kernels"), "PYTHONPATH": source}
    return plain | kept | {"PYTHONPYCACHEPREFIX": str(scratch / "bytecode")}


def measure(verb: str, file: str, sources: Mapping[str, str], rounds: int) -> None:
    """Print a row for each checkout: its first start, and the median of its warm ones."""
    with tempfile.TemporaryDirectory() as folder:
        environments = {
            name: environment_of(source, Path(folder, name)) for name, source in sources.items()
        }
        first, warm = {}, {name: list[tuple[float, float]]() for name in sources}
        for name, environment in environments.items():
            help_text = (sys.executable, "-m", "isocline", verb, "--help")
            subprocess.run(help_text, env=environment, check=True, capture_output=True)
            first[name] = start(verb, file, environment)
        for _ in range(rounds):
            for name, environment in environments.items():
                warm[name].append(start(verb, file, environment))
    for name, starts in warm.items():
        cpu, wall = (statistics.median(column) for column in zip(*starts, strict=True))
        told = f"first {first[name][0]:5.2f} s cpu {first[name][1]:5.2f} s wall"
        print(f"{verb:9} {name:6} {told}   warm {cpu:5.2f} s cpu {wall:5.2f} s wall", flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.start_up")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="warm starts of each")
    parser.add_argument("--rival", metavar="PYTHONPATH", help="src of another checkout")
    arguments = parser.parse_args()
    sources = {"here": str(HERE)}
    if arguments.rival:
        sources["rival"] = str(Path(arguments.rival).resolve())
    for verb, file in VERBS:
        measure(verb, file, sources, arguments.rounds)


if __name__ == "__main__":
    main()
