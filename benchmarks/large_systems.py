"""A system of 10^5 frontends from its file to a plan.

`python -m benchmarks.large_systems [FORMAT ...] [--rounds N] [--rival PYTHONPATH]`. The same system
as YAML, as JSON, and with its entries in CSV and in Parquet. Each is planned by `isocline plan` in
a process of its own, imports and the printed table included, and once more with `--json`, and
loaded in this one. Times are seconds of CPU, and for plans of wall behind them; the rounds take
turns, and the least of each counts. The floor is the time in which a parser without lines and
checks reads the file into plain data: libyaml's through PyYAML, json, csv, or pyarrow. `--rival`
names the `src` of another checkout, whose plans take turns with those of this one.
"""

import argparse
import csv
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from pyarrow import parquet

import isocline
from isocline.model.systemfile import load

FRONTENDS, BACKENDS, DEGREE, LOAD = 100_000, 1000, 10, 0.7
FORMATS = ("YAML", "JSON", "CSV", "Parquet")
HERE = Path(isocline.__file__).parents[1]
_TABLES = "kind: routing\nbackends: {{table: backends.{0}}}\nfrontends: {{table: frontends.{0}}}\n"


def system() -> dict[str, Any]:
    """The system as plain data: random curves and rates, each frontend with ten random backends."""
    rng = np.random.default_rng(0)
    peak, half = rng.uniform(50.0, 150.0, BACKENDS), rng.uniform(1.0, 10.0, BACKENDS)
    rate = rng.uniform(0.5, 1.5, FRONTENDS)
    rate *= LOAD * peak.sum() / rate.sum()
    names = [f"b{b}" for b in range(BACKENDS)]
    return {
        "kind": "routing",
        "backends": [
            {"name": name, "curve": {"type": "hyperbolic", "peak": p, "half": h}}
            for name, p, h in zip(names, peak.tolist(), half.tolist(), strict=True)
        ],
        "frontends": [
            {
                "name": f"f{f}",
                "rate": one,
                "backends": [names[b] for b in rng.choice(BACKENDS, DEGREE, replace=False)],
            }
            for f, one in enumerate(rate.tolist())
        ],
    }


def written(folder: Path) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Files of the system, and what reads each into plain data."""
    data = system()
    files = {name: folder / name / "system.yaml" for name in FORMATS}
    for file in files.values():
        file.parent.mkdir()
    with files["YAML"].open("w") as text:
        text.write("kind: routing\n")
        for key in ("backends", "frontends"):
            text.write(f"{key}:\n")
            text.writelines(f"  - {_flow(entry)}\n" for entry in data[key])
    files["JSON"].write_text(json.dumps(data, indent=1))
    for kind in ("CSV", "Parquet"):
        files[kind].write_text(_TABLES.format(kind.lower()))
    for key in ("backends", "frontends"):
        rows = [_flat(entry) for entry in data[key]]
        parquet.write_table(pa.Table.from_pylist(rows), files["Parquet"].parent / f"{key}.parquet")
        with (files["CSV"].parent / f"{key}.csv").open("w", newline="") as text:
            table = csv.DictWriter(text, list(rows[0]))
            table.writeheader()
            table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return {
        "YAML": (files["YAML"], lambda: yaml.load(files["YAML"].read_text(), yaml.CSafeLoader)),
        "JSON": (files["JSON"], lambda: json.loads(files["JSON"].read_text())),
        "CSV": (files["CSV"], lambda: _csv(files["CSV"].parent / "frontends.csv")),
        "Parquet": (
            files["Parquet"],
            lambda: parquet.read_table(files["Parquet"].parent / "frontends.parquet").to_pylist(),
        ),
    }


def _csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def _cell(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value


def _flow(entry: dict[str, Any]) -> str:
    return json.dumps(entry).replace('"', "")


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    curve = {f"curve.{key}": value for key, value in entry.get("curve", {}).items()}
    return {key: value for key, value in entry.items() if key != "curve"} | curve


def seconds(call: Callable[[], object]) -> float:
    """Seconds of CPU that a call takes, in this process and in those that it starts."""
    gc.collect()
    gc.disable()
    before = os.times()
    result = call()
    after = os.times()
    gc.enable()
    del result
    return sum(after[:4]) - sum(before[:4])


def plan(file: Path, source: str, *options: str) -> tuple[float, float]:
    """`isocline plan`, as a user has it: seconds of CPU, and of wall."""
    command = (sys.executable, "-m", "isocline", "plan", str(file), *options)
    environment = os.environ | {"PYTHONPATH": source}
    before, began = os.times(), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after, wall = os.times(), time.monotonic() - began
    cpu = after.children_user + after.children_system
    return cpu - before.children_user - before.children_system, wall


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_systems")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"of {', '.join(FORMATS)}")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--rival", metavar="PYTHONPATH", help="src of another checkout")
    arguments = parser.parse_args()
    sources = [str(HERE), *([str(Path(arguments.rival).resolve())] if arguments.rival else [])]
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    least: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        chosen = arguments.formats or FORMATS
        for _ in range(arguments.rounds):
            for name in chosen:
                file, parsed = files[name]
                now = [seconds(parsed), seconds(lambda file=file: load(file))]  # type: ignore[misc]
                for options in ((), ("--json",)):
                    for source in sources:
                        now += plan(file, source, *options)
                least[name] = list(map(min, now, least.get(name, now)))
    print(f"{'':8}{'parsed':>9}{'loaded':>9}{'ratio':>7}", end="")
    print("".join(f"{text:>18}" for it in ("plan", "plan --json") for text in _titles(it, sources)))
    for name, (floor, loaded, *plans) in least.items():
        print(f"{name:8}{floor:>7.2f} s{loaded:>7.2f} s{loaded / floor:>6.1f}x", end="")
        pairs = zip(plans[::2], plans[1::2], strict=True)
        print("".join(f"{f'{cpu:.2f} s ({wall:.2f})':>18}" for cpu, wall in pairs))


def _titles(verb: str, sources: list[str]) -> list[str]:
    return [verb, f"rival {verb.removeprefix('plan ')}"][: len(sources)]


if __name__ == "__main__":
    main()
