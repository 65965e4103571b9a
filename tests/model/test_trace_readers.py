"""Trace files of both formats are read; each kind of bad file names its row."""

from pathlib import Path

import numpy as np
import pytest

from isocline.errors import TraceError
from isocline.model.traffic import FORMATS, read_trace

DATA = Path(__file__).parents[3] / "shared" / "data"
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
AZURE = HEADER + (
    "2023-11-16 18:17:03.9799600,4808,10\n"
    "2023-11-16 18:17:04.0319600,3180,8\n"
    "2023-11-16 18:17:05.9799600,110,27\n"
)
MOONCAKE = (
    '{"timestamp": 500, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}\n'
    '{"timestamp": 500, "input_length": 7322, "output_length": 490, "hash_ids": []}\n'
    '{"timestamp": 3000, "input_length": 12, "output_length": 0}\n'
)


def test_a_number_of_thousands_of_digits_names_its_row(tmp_path: Path) -> None:
    text = MOONCAKE.replace("6758", "9" * 5000)
    with pytest.raises(TraceError, match=r":1: cannot be read: a number has 5,000 digits; give"):
        read_trace(write(tmp_path, text, "trace.jsonl"))


def write(folder: Path, text: str, name: str = "trace") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["auto", "azure"])
def test_an_azure_trace_is_read(tmp_path: Path, kind: str) -> None:
    trace = read_trace(write(tmp_path, AZURE), kind)
    np.testing.assert_allclose(trace.times, [0.0, 0.052, 2.0], atol=1e-9)
    assert trace.prompt_tokens.tolist() == [4808, 3180, 110]
    assert trace.output_tokens.tolist() == [10, 8, 27]
    assert (trace.name, trace.length, trace.rate) == ("trace", 3.0, 1.0)


@pytest.mark.parametrize("kind", ["auto", "mooncake"])
def test_a_mooncake_trace_is_read(tmp_path: Path, kind: str) -> None:
    trace = read_trace(write(tmp_path, MOONCAKE), kind)
    assert trace.times.tolist() == [0.0, 0.0, 2.5]
    assert trace.prompt_tokens.tolist() == [6758, 7322, 12]
    assert trace.output_tokens.tolist() == [500, 490, 0]


def test_time_zones_and_byte_order_marks_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    text = "\ufeff" + AZURE.replace("00,", "00+00:00,") + "\n\n"
    assert read_trace(write(tmp_path, text)).times.size == 3
    assert read_trace(write(tmp_path, "\n" + MOONCAKE.replace("\n", "\n\n"), "x"), "mooncake").rate


def test_a_faster_trace_has_the_same_requests_closer_together(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, AZURE)).sped_up(2.0)
    np.testing.assert_allclose(trace.times, [0.0, 0.026, 1.0], atol=1e-9)
    assert trace.prompt_tokens.tolist() == [4808, 3180, 110]


BAD_AZURE = {
    "truncated row": ("3180,8\n", "3180\n", ":3: has 2 of 3 fields; complete or remove the row"),
    "bad time": (
        "2023-11-16 18:17:04.0319600",
        "yesterday",
        ":3: TIMESTAMP is 'yesterday'; give a time as 2023-11-16 18:17:03.979, or a number of s",
    ),
    "no time": ("2023-11-16 18:17:04.0319600", "", ":3: has no time; correct the row"),
    "bad number": ("3180", "31x0", ":3: ContextTokens is '31x0'; give a number of tokens"),
    "no number": (",27", ",", ":4: GeneratedTokens is ''; give a number of tokens"),
    "negative number": ("3180", "-3180", ":3: prompt tokens are -3180; correct or remove the row"),
    "NaN": (",27", ",nan", ":4: output tokens are nan; correct or remove the row"),
    "time that goes back": (
        "18:17:05.97",
        "18:17:01.97",
        ":4: time goes back by 2.052 s; sort the rows by time",
    ),
}


@pytest.mark.parametrize(("old", "new", "problem"), BAD_AZURE.values(), ids=BAD_AZURE.keys())
def test_a_bad_azure_row_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = write(tmp_path, AZURE.replace(old, new))
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value) == f"{path}{problem}"


BAD_MOONCAKE = {
    "truncated row": ('0, "hash_ids": []}', "", ":2: is not JSON (Expecting ',' delimiter); "
                      "complete or remove the row"),
    "missing field": ('"output_length": 0', '"length": 0', ":3: output_length is None; "
                      "give a number of tokens"),
    "text for a number": ("7322", '"7322"', ":2: input_length is '7322'; "
                      "give a number of tokens"),
    "row that is no object": ('{"timestamp": 3000, "input_length": 12, "output_length": 0}', "[1]",
                              ":3: is '[1]'; give an object with the columns"),
    "time that is not finite": ("3000", "NaN", ":3: timestamp is not finite; "
                                "correct or remove the row"),
    "time that goes back": ("3000", "100", ":3: time goes back by 0.4 s; sort the rows by time"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "problem"), BAD_MOONCAKE.values(), ids=BAD_MOONCAKE.keys())
def test_a_bad_mooncake_row_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = write(tmp_path, MOONCAKE.replace(old, new))
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value) == f"{path}{problem}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ": is empty; give a file with at least one request"),
        (b"\n \n", ": is empty; give a file with at least one request"),
        (HEADER.encode(), ": has no requests; give a file with at least one"),
        (b"TIMESTAMP\xff\xfe", ": is not text; give CSV or JSON lines, packed by gzip or not"),
        (b"\x1f\x8b\x08\0\0", ": is a damaged gzip file"),
        (b"PAR1 and more", ": is damaged Parquet"),
        (b'[{"timestamp": 1}]', ": is one JSON list; give JSON lines, one object per line"),
        ((HEADER + "2024-01-01,1,1\n" * 2).encode(), ": all requests come at one time"),
        (b"time,tokens\n1,2\n", ": unknown trace format, columns time, tokens; known formats of"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}{problem}")


def test_a_missing_file_and_a_folder_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="does not exist; give the path of a trace file"):
        read_trace(tmp_path / "gone")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path)
    with pytest.raises(TraceError, match="unknown trace format 'csv'") as caught:
        read_trace(write(tmp_path, AZURE), "csv")
    assert all(name in str(caught.value) for name in (*FORMATS, "swim", "--trace-columns"))


@pytest.mark.parametrize(
    ("name", "requests", "rate"),
    [("azure_llm_code.csv", 8_819, 2.57), ("mooncake_conversation.jsonl", 12_031, 3.4)],
)
def test_the_public_traces_are_read(name: str, requests: int, rate: float) -> None:
    if not (DATA / name).exists():
        pytest.skip("the public traces are not part of the repository")
    trace = read_trace(DATA / name)
    assert trace.times.size == requests
    assert trace.rate == pytest.approx(rate, rel=0.01)
