"""Files that are damaged, of no known format or wrong: an error with file and place, always."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from isocline.errors import UsageError
from isocline.measurements.reading import read_benchmarks
from isocline.measurements.runs import curve_of, curves_of, notes_of, unit_of
from isocline.model.curves import KneeCurve
from tests.measurements import benchmark_files as files
from tests.measurements.benchmark_files import LOGS, WRITERS

CURVE = KneeCurve(40.0, 12.0, 3.0)


def message_of(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_benchmarks([path])
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x00\xff\xfe\x81binary", "is not text"),
        (b'{"max_concurrency": 8, "request_throughput":', "line 1, column 45: ends too early"),
        (b'{"max_concurrency": 8,\n "request_throughput": }', "line 2, column 24: is no JSON"),
        (b"{}", "is an empty JSON object"),
        (b"[]", "is an empty JSON list"),
        (b"[1, 2]", "is a JSON list of no known format"),
        (b'{"kind": "routing", "backends": []}', "of no known format, with kind, backends"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"conc": ' + b"9" * 5000 + b', "tput_per_gpu": 1}', "is no JSON"),
        (gzip.compress(b"{}" * 1000, mtime=0)[:-9], "is a damaged gzip file"),
        (b"hello", "is 'hello', which is neither JSON nor a table of results; name a column"),
        (b"kind: routing\nbackends:\n", "is 'kind: routing', which is neither JSON nor"),
        (b"Metric,avg\nlatency,3\n", "has the columns Metric, avg, which is neither"),
        (b"concurrency,rate\n", "has no rows"),
        (b"concurrency,rate\n1,2,3\n", "line 2: has 3 of 2 fields"),
        (b"concurrency,rate\n1,fast\n", "line 2: rate is 'fast', expected a finite number above 0"),
        (
            b"concurrency;rate\n1;1,5\n",
            "line 2: rate is '1,5', expected a finite number above 0; write "
            "decimals with a point, as 1.5",
        ),
        (b"concurrency,rate\n1,nan\n", "line 2: rate is 'nan'"),
        (b"concurrency,rate\n\n0,1\n", "line 3: concurrency is '0'"),
        (b"concurrency,rate\n4,\n", "line 2: rate is empty; give a rate, or leave the line out"),
        (b"concurrency,rate\n,4\n", "line 2: concurrency is empty"),
        (b"concurrency,rate,rate\n1,2,3\n", "line 1: column 'rate' stands twice"),
        (
            b"concurrency,rate (1/min)\n1,2\n",
            "column 'rate (1/min)': give it in requests per second",
        ),
        (b"concurrency,output TPS [ktok/h]\n1,2\n", "give it in tokens per second"),
        (b"rate,latency (us)\n1,2\n", "column 'latency (us)': give it in seconds or ms"),
        (b'concurrency,rate\n1,"2\n', "is not CSV (unexpected end of data)"),
    ],
)
def test_the_message_names_file_and_place(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_bytes(content)
    message = message_of(path)
    assert message.startswith(str(path))
    assert any(one in message for one in says.split("|")), message


def test_an_unreadable_file_of_a_directory_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    for name in ("vllm", "prometheus"):
        for file, content in WRITERS[name](CURVE, (1, 2, 4)).items():
            (tmp_path / file).write_bytes(content)
    expected = read_benchmarks([tmp_path])
    (tmp_path / "bench-0.json").write_text('{"max_concurrency": 8, "request_throughput":')
    (tmp_path / "failed.json").write_text('{"status": "error", "data": {"resultType": "matrix"}}')
    (tmp_path / "empty.jsonl").touch()  # as AIPerf leaves one where it finds no GPU
    with pytest.raises(UsageError, match=r"bench-0\.json: line 1, column 45: ends too early"):
        read_benchmarks([tmp_path])
    said: list[str] = []
    assert read_benchmarks([tmp_path], lambda error: said.append(str(error))) == expected
    assert [Path(message.partition(":")[0]).name for message in said] == [
        "bench-0.json",
        "failed.json",
    ]


def test_files_that_are_not_there_and_directories_without_results(tmp_path: Path) -> None:
    assert "does not exist" in message_of(tmp_path / "none.json")
    assert "has no file that can be read, of a known format; known: vLLM" in message_of(tmp_path)
    (tmp_path / "README.md").write_text("# Results\n\nfast\n")
    assert "has no file that can be read" in message_of(tmp_path)


@pytest.mark.parametrize("value", [None, "8", -1, 0, float("nan"), float("inf"), True, [], {}])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("vllm", ("request_throughput",)),
        ("guidellm_7", ("benchmarks", 0, "metrics", "requests_per_second", "successful", "mean")),
        ("guidellm_8", ("benchmarks", 1, "metrics", "request_concurrency", "successful", "mean")),
        ("aiperf", ("request_throughput", "avg")),
        ("inferencex", (1, "output_tput_per_gpu")),
        ("inferencex", (0, "conc")),
        ("prometheus", ("data", "result", 0, "values", 2, 0)),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    name: str, place: tuple[str | int, ...], value: Any, tmp_path: Path
) -> None:
    first, content = next(iter(WRITERS[name](CURVE, (4, 8)).items()))
    document = json.loads(content)
    holder = document
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    if name == "guidellm_8":  # where all requests count if they are there
        del holder["min"], document["benchmarks"][1]["metrics"]["request_concurrency"]["total"]
    path = tmp_path / first
    path.write_text(json.dumps(document))
    if value is None and (name == "aiperf" or place[-1] == "output_tput_per_gpu"):
        return  # an average is missing where nothing is known, the other in 2025
    message = message_of(path)
    assert message.startswith(f"{path}")
    assert str(place[-1]) in message or "time" in message
    assert "expected" in message or "missing" in message or "is 0" in message


def test_units_and_versions_are_checked(tmp_path: Path) -> None:
    (content,) = files.aiperf(CURVE, (8,)).values()
    document = json.loads(content)
    document["request_latency"]["unit"] = "us"
    path = tmp_path / "profile_export_aiperf.json"
    path.write_text(json.dumps(document))
    assert "request_latency.unit is 'us', expected 'ms'" in message_of(path)
    (content,) = files.guidellm_8(CURVE, (8,)).values()
    path.write_bytes(content.replace(b'"version": 2', b'"version": 3'))
    assert "metadata.version is '3'; known: 1, 2" in message_of(path)


def test_a_record_that_ends_before_it_begins_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "profile_export.jsonl"
    path.write_bytes(files.aiperf_record(1.0, 2.0) + b"\n" + files.aiperf_record(3.0, 2.0))
    assert message_of(path).startswith(f"{path}, line 2: metadata.request_end_ns is before")
    path.write_bytes(files.aiperf_record(1.0, 2.0) + b"\n{broken\n")
    assert message_of(path).startswith(f"{path}, line 2: line 1, column 2: is no JSON")


def test_lists_of_requests_have_one_length(tmp_path: Path) -> None:
    path = tmp_path / "detailed.json"
    for name in ("ttfts", "output_lens", "itls"):
        (content,) = files.vllm_detailed(CURVE, (2,)).values()
        document = json.loads(content)
        document[name].pop()
        path.write_text(json.dumps(document))
        assert f"{path}: " in message_of(path)
        assert "entries" in message_of(path)


VALUES: list[Any] = [
    None, "", "x", "nan", -1, 0, 1, 1e308, -1e308, 10**400, float("nan"), float("inf"), True, [],
    [[]], {}, {"a": 1}, "\ud800", "é\n", 2**63, 1e-320,
]  # fmt: skip


def mutated(document: Any, rng: random.Random) -> Any:
    """The document with a few of its values replaced, removed or moved."""
    for _ in range(rng.randint(1, 3)):
        holder, step = document, None
        while isinstance(holder, dict | list) and holder:
            at = (
                rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
            )
            step = (holder, at)
            holder = holder[at]
            if rng.random() < 0.25:
                break
        if step is None:
            continue
        inside, at = step
        if rng.random() < 0.2:
            del inside[at]
        else:
            inside[at] = rng.choice([*VALUES, document if rng.random() < 0.1 else 3.0])
            if inside[at] is document:
                inside[at] = json.loads(json.dumps(document, default=str, skipkeys=True)
                                        if not _cyclic(document) else "0")  # fmt: skip
    return document


def _cyclic(document: Any) -> bool:
    try:
        json.dumps(document)
    except ValueError:
        return True
    return False


def handled(paths: list[Path]) -> bool:
    """Whether files make curves; an error of ours begins with one of the files, or a curve."""
    try:
        for one in curves_of(read_benchmarks(paths)):
            notes_of(one)
            curve_of(one, unit_of(one.runs, None)).rows()
    except UsageError as error:
        said = str(error)
        assert "\n" not in said
        assert len(said) < 1200
        return False
    return True


@pytest.mark.parametrize("name", WRITERS)
def test_mutations_never_give_a_traceback(name: str, tmp_path: Path) -> None:
    """Half of them within the document, half in its bytes."""
    rng = random.Random(name)
    contents = LOGS[name](CURVE, (2,), 8) if name in LOGS else WRITERS[name](CURVE, (1, 4))
    good = bad = 0
    for attempt in range(200):
        paths = []
        for file, content in contents.items():
            path = tmp_path / file
            if attempt % 2 and content[:1] in b"{[" and not file.endswith("l"):
                lines = content.splitlines() if b"}\n{" in content else [content]
                text = "\n".join(json.dumps(mutated(json.loads(line), rng)) for line in lines)
                path.write_bytes(text.encode("utf-8", "surrogatepass"))
            else:
                data = bytearray(content)
                for _ in range(rng.randint(1, 4)):
                    at = rng.randrange(len(data) or 1)
                    if rng.random() < 0.2:
                        del data[at : at + rng.randint(1, 40)]
                    elif rng.random() < 0.1:
                        data = data[: at + 1]
                    elif data:
                        data[at] = rng.choice(b'0123456789.,-eE"{}[]:\n\x00\xff x')
                path.write_bytes(bytes(data) or b" ")
            paths.append(path)
        if handled(paths):
            good += 1
        else:
            bad += 1
    assert good  # some change what does not matter
    assert bad
