"""Files as they are found: packed, in parts, out of order, with broken lines and pauses."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.audit.formats.exchange import Outcome
from isocline.audit.reading import read_log
from isocline.errors import IsoclineError, TraceError
from isocline.model.curves import HyperbolicCurve
from tests.audit.virtual_router import jobs_of, written

HEAD = "start,duration,upstream\n"


def log(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def rows(times: list[tuple[float, float]]) -> str:
    return HEAD + "".join(f"{at:.3f},{long:.3f},a\n" for at, long in times)


def test_lines_in_any_order_packed_and_in_several_files_are_one_log(tmp_path: Path) -> None:
    jobs = jobs_of([HyperbolicCurve(20.0, 4.0)] * 2, [20.0], 300)
    whole = written(jobs, tmp_path / "whole.csv")
    head, *lines = whole.read_text().splitlines(keepends=True)
    mixed = np.random.default_rng(0).permutation(len(lines))
    older = log(tmp_path, head + "".join(lines[i] for i in mixed[:150]), "log.1")
    newer = tmp_path / "log.gz"
    newer.write_bytes(gzip.compress((head + "".join(lines[i] for i in mixed[150:])).encode()))
    one, other = read_log([whole]).records, read_log([newer, older]).records
    assert np.array_equal(one.start, other.start)
    assert np.array_equal(one.end, other.end)
    assert one.backends == other.backends == ("10.0.0.0:80", "10.0.0.1:80")
    assert np.array_equal(
        np.sort(one.attempts.begin[one.attempts.backend == 0]),
        np.sort(other.attempts.begin[other.attempts.backend == 0]),
    )


def test_lines_that_cannot_be_read_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    text = HEAD + "1.0,0.5,a\n\nbroken\n2.0,x,a\n3.0,0.5,a\n4.0,inf,a\n5,-1,a\n"
    text += "1e300,0.5,a\n6.0,1e9,a\n"  # no time of a request, and no duration of one
    found = read_log([log(tmp_path, text)])
    assert (found.lines, found.unread.count) == (9, 6)  # the header is a line, an empty one none
    assert found.unread.first == f"{tmp_path}/log.csv:4: 'broken'"
    assert found.records.start.tolist() == [0.0, 2.0]


def test_a_pause_without_requests_is_cut_out(tmp_path: Path) -> None:
    busy = [(0.1 * i, 0.05) for i in range(200)]
    later = [(3600.0 + at, long) for at, long in busy]
    found = read_log([log(tmp_path, rows(busy + later))])
    count, seconds = found.pauses
    assert count == 1
    assert seconds == pytest.approx(3600.0 - 20.0, abs=0.2)
    assert found.records.end.max() == pytest.approx(40.0, abs=0.3)
    # Under way all the time is no pause.
    busy.append((1.0, 3700.0))
    assert read_log([log(tmp_path, rows(busy + later))]).pauses == (0, 0.0)


def test_times_to_the_second_are_spread_over_it_in_the_order_of_the_lines(tmp_path: Path) -> None:
    lines = [
        f'1.2.3.4 - - [30/Nov/2026:09:00:{s:02d} +0000] "GET / HTTP/1.1" 200 1 "-" "-" rt=0.100 '
        f'uct="0" uht="0" urt="0.100" ua="a:80"\n'
        for s in range(10)
        for _ in range(4)
    ]
    found = read_log([log(tmp_path, "".join(lines))])
    assert found.coarse
    assert np.diff(found.records.end) == pytest.approx(np.full(39, 0.25))
    assert (found.records.end - found.records.start) == pytest.approx(np.full(40, 0.1))


def test_retries_are_attempts_of_one_request(tmp_path: Path) -> None:
    text = "".join(
        f'{100 + i}.125 0.300 "a:80, b:80" "0.100, 0.200" "502, 200" 200 h "/"\n'
        f'{100 + i}.500 0.100 "a:80" "0.100" "200" 200 h "/"\n'
        for i in range(10)
    )
    records = read_log([log(tmp_path, text)]).records
    assert records.start.size == 20
    tried = records.attempts
    again = np.flatnonzero(np.bincount(tried.request) == 2)
    assert again.size == 10
    first = tried.outcome[(tried.request == again[0]) & (tried.backend == 0)]
    assert first.tolist() == [Outcome.FAILED]


def test_a_group_of_servers_that_served_nothing_is_no_backend(tmp_path: Path) -> None:
    text = '100.000 0.000 "fleet" "-" "-" 502 h "/"\n' + "".join(
        f'{100 + i}.125 0.300 "a:80" "0.300" "200" 200 h "/"\n' for i in range(5)
    )
    found = read_log([log(tmp_path, text)])
    assert found.records.backends == ("a:80",)
    assert found.records.start.size == 5
    assert found.without_backend == 1  # every line is accounted for


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        (HEAD, r"has no request that went to a backend$"),
        (HEAD + "x,y,a\n", r"has no request .* the first that cannot be read is .*:2: 'x,y,a'"),
        (HEAD + "1,1,-\n", "has no request .*; 1 requests went to no backend"),
    ],
)
def test_a_log_without_requests_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TraceError, match=words):
        read_log([log(tmp_path, text)])


def test_a_log_of_which_nothing_was_served_is_refused(tmp_path: Path) -> None:
    text = "start,duration,upstream,status\n" + "".join(f"{i},0.5,a,503\n" for i in range(300))
    with pytest.raises(TraceError, match=r"log\.csv: no backend served a request"):
        read_log([log(tmp_path, text)])


def test_a_csv_in_quotes_is_read(tmp_path: Path) -> None:
    """As spreadsheets and `csv.QUOTE_ALL` write it."""
    text = '"start","duration","upstream"\n"1.000","0.5","a"\n"2.000","0.5","b"\n'
    assert read_log([log(tmp_path, text)]).records.backends == ("a", "b")
    with pytest.raises(TraceError, match=r"log\.csv: unknown format"):
        read_log([log(tmp_path, 'start,"duration"x,upstream\n1,1,a\n')])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no\.log: does not exist"):
        read_log([tmp_path / "no.log"])
    with pytest.raises(TraceError, match="cannot be read"):
        read_log([tmp_path])
    damaged = tmp_path / "cut.gz"
    damaged.write_bytes(gzip.compress(rows([(i, 1.0) for i in range(99)]).encode())[:-20])
    with pytest.raises(TraceError, match=r"cut\.gz: is a damaged gzip file"):
        read_log([damaged])


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.log"
    for content in (data, HEAD.encode() + data, b"\x1f\x8b" + data):
        path.write_bytes(content)
        try:
            read_log([path])
        except IsoclineError as error:
            assert str(path) in str(error)  # noqa: PT017
