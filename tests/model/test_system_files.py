"""Good files give the system they describe; each kind of bad file gives its own message."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from isocline.errors import SystemFileError
from isocline.model import curves, traffic
from isocline.model.systemfile import load, notes
from isocline.model.systemfile.curve_schema import AnyCurve
from isocline.model.systemfile.near_data.schema import AnyService
from isocline.model.systemfile.problems import EXAMPLES, TYPES
from isocline.model.systemfile.schema import AnyArrivals, AnyPatience, AnySizes
from isocline.model.traffic import Patience, sizes

HERE = Path(__file__).parent
GOOD = (HERE / "good_system_file.yaml").read_text()
H100 = "{type: hyperbolic, peak: 40.0, half: 12.0}"


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def edited(folder: Path, old: str, new: str) -> Path:
    assert old in GOOD
    return write(folder, GOOD.replace(old, new))


def message(path: Path) -> str:
    with pytest.raises(SystemFileError) as caught:
        load(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_file_gives_the_system_it_describes(tmp_path: Path) -> None:
    system = load(write(tmp_path, GOOD))
    assert system.name == "fleet"
    assert [b.name for b in system.backends] == ["h100", "l4"]
    assert system.backends[0].url == "http://127.0.0.1:9001"
    assert system.backends[1].curve == curves.HyperbolicCurve(6.0, 5.0)
    assert system.rates.tolist() == [12.0, 8.0]
    assert system.graph.neighbours(0).tolist() == [0, 1]
    assert system.graph.neighbours(1).tolist() == [1]
    assert notes(system) == []


def test_work_turns_curves_in_tokens_into_curves_in_jobs(tmp_path: Path) -> None:
    work = "kind: routing\nname: fleet of two\nwork: {unit: tokens, mean: 200, prefill: 0.1}"
    system = load(edited(tmp_path, "kind: routing", work))
    assert system.name == "fleet of two"
    assert system.capacities.tolist() == pytest.approx([0.2, 0.03])
    assert (system.work.unit, system.work.prefill, system.work.decode) == ("tokens", 0.1, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{type: exponential}", sizes.ExponentialSizes()),
        ("{type: deterministic}", sizes.DeterministicSizes()),
        ("{type: lognormal, cv: 2}", sizes.LognormalSizes(2.0)),
        ("{type: hyperexponential, cv: 3.5}", sizes.HyperexponentialSizes(3.5)),
    ],
)
def test_sizes_of_every_type_are_read(tmp_path: Path, text: str, expected: sizes.Sizes) -> None:
    assert (
        load(edited(tmp_path, "kind: routing", f"kind: routing\nsizes: {text}")).sizes == expected
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{type: exponential, mean: 2}", Patience(sizes.ExponentialSizes(), 2.0)),
        ("{type: deterministic, mean: 3}", Patience(sizes.DeterministicSizes(), 3.0)),
        ("{type: lognormal, mean: 2, cv: 2}", Patience(sizes.LognormalSizes(2.0), 2.0)),
        (
            "{type: hyperexponential, mean: 2, cv: 2, until: start}",
            Patience(sizes.HyperexponentialSizes(2.0), 2.0, "start"),
        ),
    ],
)
def test_patience_of_every_type_is_read(tmp_path: Path, text: str, expected: Patience) -> None:
    system = load(edited(tmp_path, "kind: routing", f"kind: routing\npatience: {text}"))
    assert system.patience == expected


def test_arrivals_of_every_type_are_read(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2024-01-01 00:00:00,5,1\n2024-01-01 00:00:04,5,1\n"
    )
    text = GOOD.replace("rate: 12.0", "arrivals: {type: trace, file: day.csv}").replace(
        "rate: 8.0", "arrivals: {type: piecewise, steps: [[0, 12], [600, 30]], period: 3600}"
    )
    trace, piecewise = (f.arrivals for f in load(write(tmp_path, text)).frontends)
    assert isinstance(trace, traffic.TraceArrivals)
    assert trace.times.tolist() == [0.0, 4.0]  # relative to the system file, not to the caller
    assert piecewise == traffic.PiecewiseArrivals(((0.0, 12.0), (600.0, 30.0)), 3600.0)
    poisson = edited(tmp_path, "rate: 12.0", "arrivals: {type: poisson, rate: 3}")
    assert load(poisson).frontends[0].arrivals == traffic.PoissonArrivals(3.0)


def test_names_and_numbers_are_read_by_the_core_schema_of_yaml_1_2(tmp_path: Path) -> None:
    text = GOOD.replace("name: eu", "name: no").replace("peak: 6.0", "peak: 1e1")
    system = load(write(tmp_path, text))
    assert system.frontends[0].name == "no"
    assert system.backends[1].curve.supremum == 10.0


def test_anchors_and_merges_work_and_an_override_is_no_duplicate(tmp_path: Path) -> None:
    text = GOOD.replace(H100, f"&big {H100}").replace(
        "      type: hyperbolic\n      peak: 6.0", "      <<: *big\n      peak: 6.0"
    )
    assert load(write(tmp_path, text)).backends[1].curve == curves.HyperbolicCurve(6.0, 5.0)


def test_a_name_with_pattern_characters_means_itself(tmp_path: Path) -> None:
    text = GOOD.replace("name: l4", 'name: "l[4]"').replace("[h100, l4]", '["l[4]", "h?00"]')
    assert load(write(tmp_path, text)).graph.neighbours(0).tolist() == [0, 1]


TABLE = "{type: table, points: [[1, 2], [2, 3], [4, 5], [5, 4]]}"


def test_what_was_cut_from_a_table_and_unused_backends_are_said(tmp_path: Path) -> None:
    text = GOOD.replace(H100, TABLE).replace("[h100, l4]", "[h100]").replace('["l*"]', "[h100]")
    cut, unused = notes(load(write(tmp_path, text)))
    assert cut == (
        "backend 'h100': point [2, 3] dropped, for the curve runs above to stay concave: "
        "at N = 2, where it is 3.011 in place of 3, 0.37 % more; "
        "point [5, 4] cut, for the rate no longer grows past N = 4"
    )
    assert unused == "backend 'l4': no frontend may use it"


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (
            "[[2, 3], [4, 5], [8, 5.1]]",
            [
                "nothing was measured below N = 2, so l(1), the speed of a job alone, is unknown; "
                "1.62 is assumed, and mean latencies at few jobs rest on it: measure N = 1"
            ],
        ),
        (
            "[[1, 2], [2, 3], [4, 5]]",
            [
                "point [2, 3] dropped, for the curve runs above to stay concave",
                "the rate still grew at the last point, N = 4; beyond, it is assumed to stay at "
                "what it is there, so the capacity may be larger: measure higher workloads",
            ],
        ),
        ("[[1, 2], [2, 3], [4, 3.05]]", []),
        ("[[0.5, 1], [2, 3], [4, 2]]", ["point [4, 2] cut"]),
        (
            "[[1, 0], [2, 1.5], [4, 4], [8, 8], [16, 8]]",
            [
                "points [1, 0], [2, 1.5], [4, 4] dropped, for the curve runs above to stay "
                "concave: furthest at N = 1, where it is 1.009 in place of 0; point [16, 8] cut"
            ],
        ),
        (
            "[[1, 1], [100, 10], [200, 10.2]]",
            [
                "nothing was measured between N = 1 and 100, and there the curve runs up to "
                "150 % above a straight line, to 3.38 at N = 4.87: measure in between"
            ],
        ),
    ],
)
def test_what_was_not_measured_is_said(tmp_path: Path, points: str, words: list[str]) -> None:
    table = f"{{type: table, points: {points}}}"
    pool = f"{{type: pool, members: [{table}, {H100}]}}"
    for curve in (table, pool):
        said = notes(load(write(tmp_path, GOOD.replace(H100, curve))))
        assert len(said) == len(words)
        for note, expected in zip(said, words, strict=True):
            assert note.startswith(f"backend 'h100': {expected}")


def test_backends_of_which_the_same_is_said_are_in_one_note(tmp_path: Path) -> None:
    table = "{type: table, points: [[2, 3], [4, 5], [8, 5.1]]}"
    pool = f"{{type: pool, members: [{table}, {table}]}}"
    kinds = [("a", table), ("b", pool), *((f"c{i}", "*f") for i in range(4)), ("idle", "*f")]
    fast = "x-fast: &f {type: table, points: [[1, 3], [4, 9]]}"
    backends = "\n".join(f"  - {{name: {name}, curve: {curve}}}" for name, curve in kinds)
    text = (
        f"kind: routing\n{fast}\nbackends:\n{backends}\n"
        "frontends:\n  - {name: all, rate: 1, backends: [a, b, 'c*']}\n"
    )
    first, grows, unused = notes(load(write(tmp_path, text)))
    assert first.startswith("backends 'a', 'b': nothing was measured below N = 2")
    assert grows.startswith("backends 'c0', 'c1', 'c2', 'c3' and 1 more: the rate still grew")
    assert unused == "backend 'idle': no frontend may use it"


BAD_EDITS = yaml.safe_load((HERE / "bad_system_files.yaml").read_text())


@pytest.mark.parametrize("edit", BAD_EDITS.values(), ids=BAD_EDITS.keys())
def test_a_bad_value_is_named_with_its_line_field_and_remedy(
    tmp_path: Path, edit: dict[str, str]
) -> None:
    old = GOOD if edit["replace"] == "all of it" else edit["replace"]
    path = edited(tmp_path, old, edit["by"])
    assert message(path) == f"{path}:{edit['says']}"


BAD_FILES = {
    "empty": (b"", ": is empty; describe a system, beginning: kind: routing"),
    "only a comment": (b"# later\n", ": is empty; describe a system, beginning: kind: routing"),
    "a list": (b"- a\n", ":1: ['a'] is not a mapping; begin with: kind: routing"),
    "a word": (b"hello", ":1: 'hello' is not a mapping; begin with: kind: routing"),
    "a table": (
        b"Concurrency, Rate\n1, 2\n",
        ":1: 'Concurrency, Rate 1, 2' is not a mapping; isocline curves --from FILE... makes "
        "service curves of a table of measurements; for a system, begin with: kind: routing",
    ),
    "a number of thousands of digits": (
        b"kind: routing\na: " + b"9" * 5000,
        r":2: a number has 5,000 digits; give at most 300",
    ),
    "an open bracket": (b"kind: routing\na: [b\n", r":3: is not YAML: .*; correct the line"),
    "two values in a line": (b"a: b: c", r":1: is not YAML: .*; correct the line"),
    "two documents": (b"---\na: 1\n---\nb: 2", r":3: is not YAML: .*; correct the line"),
    "a list as key": (b"? [a]\n: 3", r":1: is not YAML: .*; correct the line"),
    "control characters": (b"a: \x01", r": is not YAML: .*; correct the file"),
    "binary": (b"\x7fELF\xff\xfe", ": is not text (byte 4 is not UTF-8); give a YAML file"),
}


@pytest.mark.parametrize(("content", "expected"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_is_no_mapping_in_yaml_is_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(content)
    pattern = expected if ".*" in expected else re.escape(expected)
    assert re.fullmatch(re.escape(str(path)) + pattern, message(path))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert message(missing) == f"{missing}: does not exist; give the path of a system file"
    assert message(tmp_path).startswith(f"{tmp_path}: cannot be read (")


def test_a_trace_that_cannot_be_read_is_named_with_the_place_that_asks_for_it(
    tmp_path: Path,
) -> None:
    path = edited(tmp_path, "rate: 12.0", "arrivals: {type: trace, file: gone.csv}")
    assert message(path) == (
        f"{path}:10: frontends[0] 'eu', arrivals: {tmp_path / 'gone.csv'}: does not exist; "
        "give the path of a trace file"
    )


@pytest.mark.parametrize("noun", EXAMPLES)
def test_the_examples_of_messages_are_of_their_types(noun: str) -> None:
    assert set(EXAMPLES) == set(TYPES)
    schema: dict[str, Any] = {
        "curve": AnyCurve, "member": AnyCurve, "sizes": AnySizes, "patience": AnyPatience,
        "service": AnyService, "arrivals": AnyArrivals,
    }  # fmt: skip
    TypeAdapter(schema[noun]).validate_python(yaml.safe_load(EXAMPLES[noun]), strict=True)


def test_every_type_the_model_knows_can_stand_in_a_file() -> None:
    from isocline.model.systemfile import curve_schema, schema

    def tags(union: object) -> set[str]:
        records = union.__origin__.__args__  # type: ignore[attr-defined]
        return {tag for r in records for tag in r.model_fields["type"].annotation.__args__}

    assert tags(curve_schema.AnyCurve) == set(TYPES["curve"]) == set(curves.ALL)
    assert tags(schema.AnySizes) == set(TYPES["sizes"]) == set(sizes.ALL)
    assert tags(schema.AnyArrivals) == set(TYPES["arrivals"])


positive = st.floats(1e-6, 1e6)
names = st.text("abcdefgh-.0123456789é*[]:#'\"{} ", min_size=1, max_size=8)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    backend_names = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    frontend_names = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    curve = st.one_of(
        st.fixed_dictionaries({"type": st.just("hyperbolic"), "peak": positive, "half": positive}),
        st.fixed_dictionaries(
            {"type": st.just("exponential"), "peak": positive, "scale": positive}
        ),
        st.fixed_dictionaries(
            {"type": st.just("servers"), "rate": positive, "count": st.integers(1, 99)}
        ),
    )
    some = st.lists(st.sampled_from(backend_names), min_size=1, unique=True)
    return {
        "kind": "routing",
        "backends": [{"name": n, "curve": draw(curve)} for n in backend_names],
        "frontends": [
            {"name": n, "rate": draw(positive), "backends": draw(some)} for n in frontend_names
        ],
    }


@given(documents())
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, list[dict[str, object]]]
) -> None:
    path = tmp_path_factory.mktemp("round") / "trip.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    system = load(path)
    read_curves = [{"type": b.curve.type, **b.curve.parameters()} for b in system.backends]
    assert read_curves == [entry["curve"] for entry in document["backends"]]
    assert system.rates.tolist() == [entry["rate"] for entry in document["frontends"]]
    for f, entry in enumerate(document["frontends"]):
        chosen = {system.backends[b].name for b in system.graph.neighbours(f)}
        assert chosen == set(entry["backends"])  # type: ignore[call-overload]
    assert np.all(system.capacities > 0)
