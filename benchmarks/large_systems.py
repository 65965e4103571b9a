"""A system of 10^5 frontends from its file to a plan: `python -m benchmarks.large_systems`.

The same system as YAML, as JSON, and with its entries in CSV and in Parquet. Each is planned by
`isocline plan` in a process of its own, imports and the printed table included, and loaded in
this one. Times are seconds of CPU; the rounds take turns, and the least of each counts. The floor
is the time in which a parser without lines and checks reads the file into plain data: libyaml's
through PyYAML, json, csv, or pyarrow.
"""

import csv
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from pyarrow import parquet

from isocline.model.systemfile import load

FRONTENDS, BACKENDS, DEGREE, LOAD = 100_000, 1000, 10, 0.7
ROUNDS = 3
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
    files = {name: folder / name / "system.yaml" for name in ("YAML", "JSON", "CSV", "Parquet")}
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


def plan(file: Path) -> None:
    """`isocline plan`, as a user has it."""
    verb = str(Path(sys.executable).parent / "isocline")
    subprocess.run([verb, "plan", str(file)], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    print(f"{'':10}{'parsed':>10}{'loaded':>10}{'ratio':>8}{'planned':>10}")
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        least: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, (file, parsed) in files.items():
                now = [
                    seconds(parsed),
                    seconds(lambda file=file: load(file)),  # type: ignore[misc]
                    seconds(lambda file=file: plan(file)),  # type: ignore[misc]
                ]
                least[name] = list(map(min, now, least.get(name, now)))
    for name, (floor, loaded, planned) in least.items():
        ratio = loaded / floor
        print(f"{name:10}{floor:>8.2f} s{loaded:>8.2f} s{ratio:>7.1f}x{planned:>8.2f} s")


if __name__ == "__main__":
    main()
