"""Start-up of verbs as whole processes: the first, which compiles, and those that load kernels.

`python -m benchmarks.start_up [VERB ...] [--rounds N] [--rival PYTHONPATH]` prints processor and
wall time, and the load of the machine. `--rival` names the `src` of another checkout, whose starts
take turns with those of this one, so that both meet the same load. Kernels are kept in a directory
for each checkout: a first start finds none, and all starts find bytecode. `serve` is timed until it
listens, and its processor time includes the stop.
"""

import argparse
import os
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
ARGUMENTS = {
    "plan": ("mixed_fleet.yaml",),
    "simulate": ("n_model.yaml",),
    "serve": ("serve.yaml", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
    "run": ("word_count.yaml", "--workers", "2"),
}
READY = b"policy "  # the last line that `serve` writes when it starts


def start(verb: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Processor and wall time of one process, s."""
    file, *options = ARGUMENTS[verb]
    command = (sys.executable, "-m", "isocline", verb, str(EXAMPLES / file), *options)
    before, began = os.times(), time.monotonic()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        written = []
        for line in process.stderr:
            written.append(line)
            if verb == "serve" and line.startswith(READY):
                break
        else:
            process.wait()
        wall = time.monotonic() - began
        process.terminate()
    if process.returncode:
        raise SystemExit(f"{verb}: exit status {process.returncode}\n{b''.join(written).decode()}")
    after = os.times()
    cpu = after.children_user + after.children_system
    return cpu - before.children_user - before.children_system, wall


def environment_of(source: str, scratch: Path) -> dict[str, str]:
    """The environment of processes that run a checkout."""
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return plain | {"NUMBA_CACHE_DIR": str(scratch / "kernels"), "PYTHONPATH": source}


def measure(verb: str, sources: Mapping[str, str], rounds: int) -> None:
    """Print a row for each checkout: its first start, and the median of its warm ones."""
    with tempfile.TemporaryDirectory() as folder:
        environments = {
            name: environment_of(source, Path(folder, name)) for name, source in sources.items()
        }
        first, warm = {}, {name: list[tuple[float, float]]() for name in sources}
        for name, environment in environments.items():
            bytecode = (sys.executable, "-m", "compileall", "-q", sources[name])
            subprocess.run(bytecode, env=environment, check=True)
            first[name] = start(verb, environment)
        for _ in range(rounds):
            for name, environment in environments.items():
                warm[name].append(start(verb, environment))
    for name, starts in warm.items():
        cpu, wall = (statistics.median(column) for column in zip(*starts, strict=True))
        told = f"first {first[name][0]:5.2f} s cpu {first[name][1]:5.2f} s wall"
        load = f"load {os.getloadavg()[0]:.1f}"
        print(f"{verb:9} {name:6} {told}   warm {cpu:5.2f} s cpu {wall:5.2f} s wall   {load}")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.start_up")
    parser.add_argument("verbs", nargs="*", metavar="VERB", help="by default all")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="warm starts of each")
    parser.add_argument("--rival", metavar="PYTHONPATH", help="src of another checkout")
    arguments = parser.parse_args()
    sources = {"here": str(HERE)}
    if arguments.rival:
        sources["rival"] = str(Path(arguments.rival).resolve())
    for verb in arguments.verbs or ARGUMENTS:
        measure(verb, sources, arguments.rounds)


if __name__ == "__main__":
    main()
