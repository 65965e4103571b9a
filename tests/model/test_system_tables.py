"""Entries of system files in tables, and system files in JSON: the same systems, and places."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from isocline.errors import SystemFileError
from isocline.model.endpoint import Endpoint
from isocline.model.systemfile import load
from isocline.model.systemfile.document import parsed, read, text_of
from isocline.model.systemfile.filled import filled
from isocline.model.systemfile.schema import checked

SYSTEM: dict[str, Any] = {
    "kind": "routing",
    "name": "two by three",
    "backends": [
        {"name": "a1", "curve": {"type": "hyperbolic", "peak": 40, "half": 12.5}},
        {
            "name": "a2",
            "curve": {"type": "exponential", "peak": 10.0, "scale": 3.0},
            "prefix_cache": {"tokens": 7},
        },
        {"name": "2", "curve": {"type": "hyperbolic", "peak": 1e1, "half": 1.0}, "weight": 2.0},
    ],
    "frontends": [
        {"name": "eu", "rate": 12.0, "backends": ["a*", "2"], "match": {"model": "1"}},
        {"name": "us", "rate": 3, "backends": ["a1"]},
    ],
}
BACKENDS_CSV = """\
name,curve.type,curve.peak,curve.half,curve.scale,prefix_cache.tokens,weight
a1,hyperbolic,40,12.5,,,
a2,exponential,10.0,,3.0,7,
2,hyperbolic,1e1,1.0,,,2.0
"""
FRONTENDS_CSV = """\
name;rate;backends;match.model
eu;12.0;a* 2;1

us;3;['a1'];
"""


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder / "system.yaml"


def in_tables(folder: Path, **texts: str) -> Path:
    """A system file whose entries are in CSVs."""
    tables = "backends: {table: backends.csv}\nfrontends: {table: frontends.csv}\n"
    csvs = {"backends": BACKENDS_CSV, "frontends": FRONTENDS_CSV} | texts
    files = {f"{key}.csv": text for key, text in csvs.items()}
    return written(folder, {"system.yaml": f"kind: routing\nname: two by three\n{tables}", **files})


def message(path: Path) -> str:
    with pytest.raises(SystemFileError) as caught:
        load(path)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("written_as", ["csv", "json lines", "parquet", "json"])
def test_same_system_however_it_is_written(tmp_path: Path, written_as: str) -> None:
    expected = load(written(tmp_path, {"system.yaml": text_of(SYSTEM)}), kind="routing")
    match written_as:
        case "csv":
            path = in_tables(tmp_path)
        case "json lines":
            lines = {
                key: "\n".join(map(json.dumps, SYSTEM[key])) for key in ("backends", "frontends")
            }
            path = in_tables(tmp_path, **lines)
        case "parquet":
            path = in_tables(tmp_path)
            for key in ("backends", "frontends"):
                names = dict.fromkeys(name for entry in SYSTEM[key] for name in entry)
                columns = {name: [it.get(name) for it in SYSTEM[key]] for name in names}
                table = pa.table(columns)
                parquet.write_table(table, tmp_path / f"{key}.csv")
        case _:
            path = written(tmp_path, {"system.yaml": json.dumps(SYSTEM, indent="\t")})
    found = load(path, kind="routing")
    assert found.frontends == expected.frontends
    assert found.backends == expected.backends
    assert found.graph.first.tolist() == expected.graph.first.tolist()
    assert found.graph.sink.tolist() == expected.graph.sink.tolist()


def test_mistake_in_a_table_names_its_row(tmp_path: Path) -> None:
    bad = FRONTENDS_CSV.replace("us;3", "us;-3")
    assert message(in_tables(tmp_path, frontends=bad)) == (
        "frontends.csv:4: frontends[1] 'us', rate: is -3; give a number of at least 0"
    )
    bad = FRONTENDS_CSV.replace("us;3", "us;three")
    assert message(in_tables(tmp_path, frontends=bad)) == (
        "frontends.csv:4: frontends[1] 'us', rate: is 'three'; give a number"
    )
    bad = FRONTENDS_CSV.replace("a* 2", "a* b2")
    assert message(in_tables(tmp_path, frontends=bad)).startswith(
        "frontends.csv:2: frontends[0] 'eu', backends[1]: 'b2' matches no backend"
    )
    bad = BACKENDS_CSV.replace("a2,", "a1,")
    assert message(in_tables(tmp_path, backends=bad)).startswith("backends.csv:3: backends[1]")
    bad = BACKENDS_CSV.replace("curve.half", "curve.hlaf")
    assert message(in_tables(tmp_path, backends=bad)).startswith(
        "backends.csv:2: backends[0] 'a1', curve.hlaf: is an unknown key; did you mean 'half'?"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name,rate,rate\neu,1,2\n", "has columns 'rate' and 'rate'; keep one of them"),
        ("name,curve,curve.peak\na,1,2\n", "has columns 'curve' and 'curve.peak'; keep one"),
        ("name,rate\n", "has no rows; give one for each of the frontends"),
        ("", "is empty; give a file with at least one row"),
        ("name,rate\neu\n", "has 1 of 2 fields; complete or remove the row"),
    ],
)
def test_table_that_cannot_be_used(tmp_path: Path, text: str, problem: str) -> None:
    found = message(in_tables(tmp_path, frontends=text))
    assert found.startswith("system.yaml:4: frontends.table: frontends.csv")
    assert problem in found


def test_table_that_does_not_exist_or_has_company(tmp_path: Path) -> None:
    path = in_tables(tmp_path)
    (tmp_path / "frontends.csv").unlink()
    assert "frontends.csv: does not exist; give the path of a table file" in message(path)
    path.write_text(path.read_text().replace("frontends.csv}", "frontends.csv, rate: 1}"))
    assert message(path).startswith("system.yaml:4: frontends: is {")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"rate": 3', '"rate": -3', ":24: frontends[1] 'us', rate: is -3; give a number"),
        ('"rate": 3', '"rate": 3, "rate": 4', ":24: key 'rate' stands twice (see line 24)"),
        ('"rate": 3', '"rate": NaN', ":24: frontends[1] 'us', rate: is 'NaN'; give a number"),
        ('"rate": 3', '"rate": ' + "7" * 5000, ":24: a number has 5,000 digits"),
        ('"rate": 3', '"rate": }', ""),
    ],
)
def test_mistake_in_json_names_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    short = {**SYSTEM, "backends": SYSTEM["backends"][:1]}
    short["frontends"] = [{**it, "backends": ["a1"]} for it in SYSTEM["frontends"]]
    text = json.dumps(short, indent=1)
    line = next(n for n, it in enumerate(text.splitlines(), 1) if old in it)
    path = written(tmp_path, {"system.yaml": text.replace(old, new)})
    found = message(path)
    assert found.startswith("system.yaml:")
    assert problem.replace("24", str(line)) in found


def test_data_of_json_are_those_of_the_same_text_as_yaml() -> None:
    text = json.dumps(SYSTEM | {"x-shared": {"a": [None, True, 1e300, "é\n"]}})
    as_yaml = parsed(Path("a.yaml"), f"# comment\n{text}")
    as_json = parsed(Path("a.json"), text)
    assert as_json.data == as_yaml.data
    assert as_json.root.start_mark.line + 1 == as_yaml.root.start_mark.line


def test_mistake_in_json_that_yaml_cannot_read_names_the_file(tmp_path: Path) -> None:
    text = json.dumps(SYSTEM | {"name": "\U0001f600"})  # escaped as two surrogates
    path = written(tmp_path, {"system.yaml": text})
    assert load(path, kind="routing").name == "\U0001f600"
    path.write_text(text.replace('"rate": 3', '"rate": -3'))
    assert message(path).startswith("system.yaml:1: frontends[1] 'us', rate: is -3; give a number")


def test_discovered_backends_join_those_of_a_table(tmp_path: Path) -> None:
    path = in_tables(tmp_path)
    endpoints = "discover:\n  - {name: more, dns: {name: example.org, port: 80}}\n"
    path.write_text(path.read_text() + endpoints)
    document = read(path)
    found = {"more": [Endpoint("m1", "127.0.0.1:1")]}
    document = filled(document, checked(document), found).document
    assert [entry["name"] for entry in document.data["backends"]] == ["a1", "a2", "2", "m1"]
    with pytest.raises(SystemFileError) as caught:
        document.fail(("backends", 3, "curve"), "is missing")
    assert "system.yaml:6: backends[3] 'm1', curve" in str(caught.value)
