"""Traces in any table: columns by name, in every kind of file, and the public formats by name."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import TraceError, UsageError
from isocline.model.traffic import FORMATS, Columns, Trace, read_trace

LOG = "id,when,in,out,who,note\n" + (
    'a,100.5,10,1,chat,"x, y"\nb,101.5,20,2,code,\nc,100.0,30,3,chat,"two\nlines"\n'
)
COLUMNS = Columns(time="when", prompt="in", output="out", frontend="who")


def write(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def frame() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(LOG))


def in_parquet(folder: Path, table: pd.DataFrame) -> Path:
    table.to_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def json_lines() -> str:
    return str(frame().to_json(orient="records", lines=True))


KINDS: dict[str, Callable[[Path], Any]] = {
    "csv": lambda to: write(to, LOG),
    "tsv": lambda to: write(to, frame().drop(columns="note").to_csv(sep="\t", index=False)),
    "gz": lambda to: write(to, gzip.compress(LOG.encode()), "log.csv.gz"),
    "jsonl": lambda to: write(to, json_lines()),
    "jsonl.gz": lambda to: write(to, gzip.compress(json_lines().encode()), "packed"),
    "parquet": lambda to: in_parquet(to, frame()),
    "dictionary": lambda to: in_parquet(to, frame().astype({"who": "category"})),
    "mapping": lambda _: {name: frame()[name].to_numpy() for name in frame()},
    "frame": lambda _: frame(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_table_is_a_trace_once_its_columns_are_named(tmp_path: Path, kind: str) -> None:
    trace = read_trace(KINDS[kind](tmp_path), columns=COLUMNS)
    assert trace.times.tolist() == [0.0, 0.5, 1.5]  # rows may be in any order
    assert trace.prompt_tokens.tolist() == [30, 10, 20]
    assert trace.output_tokens.tolist() == [3, 1, 2]
    assert trace.mix is not None
    assert [trace.mix.labels[label] for label in trace.mix.of] == ["chat", "chat", "code"]


def test_a_trace_comes_from_stdin_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LOG.encode())))
    assert read_trace("-", columns=COLUMNS).times.size == 3


DATES = ("2024-05-12 00:00:01", "2024-05-12T02:00:02.5+02:00", "2024-05-11T22:00:04Z")


@pytest.mark.parametrize(
    ("times", "unit", "expected"),
    [
        (("5", "6.5", "9"), None, [0, 1.5, 4]),
        (("5", "6500", "9000"), "ms", [0, 6.495, 8.995]),
        (("1731000000000000000", "1731000001500000000"), "ns", [0, 1.5]),
        (DATES[:2], None, [0, 1.5]),
        ((DATES[2], DATES[0]), None, [0, 7197]),
    ],
)
def test_times_are_numbers_in_their_unit_or_dates(
    tmp_path: Path, times: tuple[str, ...], unit: str | None, expected: list[float]
) -> None:
    path = write(tmp_path, "\n".join(["t", *times]) + "\n")
    trace = read_trace(path, columns={"time": "t"}, time_unit=unit)
    np.testing.assert_allclose(trace.times, expected, atol=1e-6)
    assert not trace.sized


@pytest.mark.parametrize("zone", [None, "Europe/Vienna"])
@pytest.mark.parametrize("as_parquet", [True, False])
def test_times_with_a_type_of_their_own_keep_it(
    tmp_path: Path, zone: str | None, as_parquet: bool
) -> None:
    stamps = pd.to_datetime(["2024-03-31 00:59:59.0", "2024-03-31 01:00:01.5"]).tz_localize("UTC")
    table = pd.DataFrame({"t": stamps.tz_convert(zone) if zone else stamps.tz_localize(None)})
    if as_parquet:
        table.to_parquet(tmp_path / "t.parquet")
    source = tmp_path / "t.parquet" if as_parquet else table
    assert read_trace(source, columns={"time": "t"}).times.tolist() == [0.0, 2.5]


BAD = {
    "no such key": (
        Columns.parse("time=when, promt=in"),
        None,
        ":1: has no column 'when, promt=in'; 'promt' is no key of trace columns; did you mean "
        "'prompt'? known: time, prompt, output, work, frontend, model, blocks; there are ",
    ),
    "no such column": (Columns("whenn"), None, ":1: has no column 'whenn'; did you mean 'when'?"),
    "text for a number": (
        Columns("when", prompt="note"),
        None,
        ":2: note is 'x, y'; give a number",
    ),
    "text for a time": (Columns("id"), "ms", ":2: id is 'a'; give a time in ms"),
    "no date": (Columns("id"), None, ":2: id is 'a'; give a time as 2023-11-16 18:17:03.979, or"),
    "no label": (Columns("when", frontend="note"), None, ":3: note is empty; name the frontend"),
    "unit": (Columns("when"), "h", ": time unit 'h'; give one of s, ms, us, ns"),
}


@pytest.mark.parametrize(("columns", "unit", "problem"), BAD.values(), ids=BAD.keys())
def test_a_column_that_cannot_be_used_is_named_with_its_row(
    tmp_path: Path, columns: Columns, unit: str | None, problem: str
) -> None:
    path = write(tmp_path, LOG)
    with pytest.raises(TraceError) as caught:
        read_trace(path, columns=columns, time_unit=unit)
    assert str(caught.value).startswith(f"{path}{problem}")


def test_milliseconds_since_1970_are_not_taken_for_seconds(tmp_path: Path) -> None:
    path = write(tmp_path, "t\n1731000000000\n1731000001500\n")
    with pytest.raises(TraceError, match="give the unit of time, ms, us or ns"):
        read_trace(path, columns={"time": "t"})
    assert read_trace(path, columns={"time": "t"}, time_unit="ms").times.tolist() == [0.0, 1.5]


def test_work_that_is_negative_is_refused_by_its_row_even_after_sorting(tmp_path: Path) -> None:
    path = write(tmp_path, "t,w\n3,1\n1,2\n2,-4\n")
    with pytest.raises(TraceError, match=r":4: work is -4; correct or remove the row"):
        read_trace(path, columns={"time": "t", "work": "w"})


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("time=ts", Columns("ts")),
        ("time=a,prompt=b, c,output=d=e", Columns("a", prompt="b, c", output="d=e")),
        ("work=s,time=t,model=m", Columns("t", work="s", model="m")),
    ],
)
def test_columns_are_written_in_one_word(text: str, columns: Columns) -> None:
    assert Columns.parse(text) == columns


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prompt=p", "time is missing"),
        ("time", "'time' names no column; write KEY=NAME"),
        ("time=", "'time=' names no column; write KEY=NAME"),
        ("time=a,time=b", "time is given twice; give each key once"),
        (
            "times=a",
            "'times' is unknown; did you mean 'time'[?] known: time, prompt, output, work",
        ),
        ("time=t,work=w,prompt=p", "work stands for prompt and output"),
        ("time=t,frontend=f,model=m", "give one"),
    ],
)
def test_columns_that_make_no_sense_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Columns.parse(text)


@given(st.lists(st.text("ab ,=é", min_size=1, max_size=6), min_size=2, max_size=2))
def test_every_column_name_can_be_written(names: list[str]) -> None:
    assert Columns.parse(f"time={names[0]},work={names[1]}") == Columns(names[0], work=names[1])


BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
SAMPLES = {
    "azure": "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-12 00:00:00+00:00,7,2\n"
    "2024-05-12 00:00:04+00:00,9,3\n",
    "burstgpt": BURSTGPT + "5,ChatGPT,7,2,9,Conversation log\n9,GPT-4,9,3,12,API log\n",
    "servegen": "request_id,timestamp,input_tokens,output_tokens\n0,5.0,7,2\n1,9.0,9,3\n",
    "mooncake": '{"timestamp": 5000, "input_length": 7, "output_length": 2, "hash_ids": [1]}\n'
    '{"timestamp": 9000, "input_length": 9, "output_length": 3, "hash_ids": [2]}\n',
    "vllm": '{"timestamp": 5, "input_length": 7, "output_length": 2, "hash_ids": [1]}\n'
    '{"timestamp": 9, "input_length": 9, "output_length": 3, "hash_ids": [2]}\n',
}


def requests(trace: Trace) -> list[list[float]]:
    return [trace.times.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist()]


@pytest.mark.parametrize("name", FORMATS)
def test_every_public_format_is_read_by_its_name(tmp_path: Path, name: str) -> None:
    expected = [[0.0, 4.0], [7.0, 9.0], [2.0, 3.0]]
    assert requests(read_trace(write(tmp_path, SAMPLES[name]), name)) == expected
    if name != "vllm":  # which nothing but the unit tells from mooncake
        assert requests(read_trace(write(tmp_path, SAMPLES[name]))) == expected


@pytest.mark.parametrize("name", ["azure", "burstgpt", "servegen"])
def test_a_column_more_does_not_matter(tmp_path: Path, name: str) -> None:
    head, *rows = SAMPLES[name].splitlines()
    text = "\n".join([f"extra,{head}", *(f"?,{row}" for row in rows)])
    assert requests(read_trace(write(tmp_path, text)))[1] == [7.0, 9.0]


def test_the_third_burstgpt_file_has_its_columns_elsewhere(tmp_path: Path) -> None:
    text = (
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,"
        "Log Type\n5,u-1,43,GPT-4,906,446,1352,Conversation log\n9,,2,ChatGPT,36,29,65,API log\n"
    )
    trace = read_trace(write(tmp_path, text))
    assert trace.prompt_tokens.tolist() == [906, 36]
    assert trace.mix is not None
    assert trace.mix.labels == ("GPT-4", "ChatGPT")
