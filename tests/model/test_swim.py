"""SWIM traces are read; jobs that read one path share its chunks; bad rows are named."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import TraceError, UsageError
from isocline.model.cluster import BlockTrace, Cluster, Rates, SampledTasks
from isocline.model.cluster.service import read_durations
from isocline.model.cluster.swim import BLOCK_BYTES, read_swim

REAL = Path(__file__).parents[3] / "shared" / "data" / "swim_fb2010_paths.tsv"
SWIM = (
    "job0\t10\t0\t400000000\t5\t6\tclicks\t\t\n"  # 400 MB: three blocks
    "job1\t12\t2\t0\t5\t6\tnothing\t\t\n"
    "job2\t12\t0\t134217728\t5\t6\tclicks\t\t\n"  # 128 MB exactly: the first block of three
    "job3\t70\t58\t134217729\t5\t6\torders\t\t\n"  # one byte more
)


def write(folder: Path, text: str) -> Path:
    path = folder / "jobs.tsv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def small(tmp_path: Path) -> BlockTrace:
    return read_swim(write(tmp_path, SWIM))


def test_jobs_have_a_task_for_each_block_and_share_the_chunks_of_a_path(small: BlockTrace) -> None:
    assert small.times.tolist() == [0.0, 2.0, 2.0, 60.0]
    assert small.blocks.tolist() == [3, 1, 1, 2]
    chunks = [
        set(range(first, first + n))
        for first, n in zip(small.first_chunk, small.blocks, strict=True)
    ]
    assert chunks[2] < chunks[0]
    assert set.union(*chunks) == set(range(small.chunks)) == set(range(6))
    assert len(chunks[0] | chunks[1] | chunks[3]) == 6  # other paths share none
    assert small.accesses[small.first_chunk[0] :][:3].tolist() == [2, 1, 1]
    # Four jobs in 60 s stand for 80 s: three gaps, and as many gaps as jobs.
    assert (small.jobs, small.tasks, small.length, small.rate) == (4, 7, 80.0, 7 / 80.0)


def test_without_paths_each_job_reads_its_own(tmp_path: Path) -> None:
    text = "".join("\t".join(line.split("\t")[:6]) + "\n" for line in SWIM.splitlines())
    trace = read_swim(write(tmp_path, text))
    assert (trace.chunks, trace.tasks) == (7, 7)


def test_blocks_may_have_another_size(tmp_path: Path) -> None:
    assert read_swim(write(tmp_path, SWIM), BLOCK_BYTES // 2).blocks.tolist() == [6, 1, 2, 3]
    with pytest.raises(UsageError, match="block_bytes 0: give a whole number, 1 or more"):
        read_swim(write(tmp_path, SWIM), 0)


def test_blank_lines_and_byte_order_marks_do_no_harm(tmp_path: Path) -> None:
    assert read_swim(write(tmp_path, "\ufeff" + SWIM.replace("\n", "\n\n"))).jobs == 4


def test_a_window_has_its_jobs_from_its_start_on(small: BlockTrace) -> None:
    window = small.window(1.0, 59.0)  # job 3 comes at 60, which is no longer in it
    assert window.times.tolist() == [1.0, 1.0]
    assert (window.chunks, window.length, window.tasks) == (2, 59.0, 2)
    faster = window.sped_up(2.0)
    assert (faster.times.tolist(), faster.rate) == ([0.5, 0.5], 2 * window.rate)


def test_a_window_without_jobs_or_without_length_is_refused(small: BlockTrace) -> None:
    with pytest.raises(
        UsageError, match=r"no job was submitted from 5 s to 10 s; .* 0 \.\.\. 80 s"
    ):
        small.window(5.0, 5.0)
    for length in (0.0, float("nan")):
        with pytest.raises(UsageError, match="give a length above 0"):
            small.window(0.0, length)
    with pytest.raises(UsageError, match="speed-up 0: give a finite number above 0"):
        small.sped_up(0.0)


jobs = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=25
)


def trace_of(rows: list[tuple[int, int, int]]) -> BlockTrace:
    times, blocks, path = np.array(sorted(rows)).T
    return BlockTrace.from_jobs("t", times.astype(float), blocks, path.astype(np.int32), 41.0)


@given(jobs, st.integers(1, 50))
def test_the_busiest_window_is_as_busy_as_any(
    rows: list[tuple[int, int, int]], length: int
) -> None:
    busiest = trace_of(rows).busiest(float(length))
    most = max(
        sum(n for t, n, _ in rows if start <= t < start + length) for start in range(-50, 41)
    )
    assert busiest.tasks == most
    assert busiest.times[0] == 0.0
    assert busiest.times[-1] < length


@given(jobs)
def test_chunks_are_read_as_often_as_their_jobs_read_them(rows: list[tuple[int, int, int]]) -> None:
    trace = trace_of(rows)
    read: dict[tuple[int, int], int] = {}
    for _, blocks, path in rows:
        for block in range(blocks):
            read[path, block] = read.get((path, block), 0) + 1
    assert sorted(trace.accesses.tolist()) == sorted(read.values())
    assert trace.chunks == len(read)
    for j, path in enumerate(trace.path):
        assert trace.first_chunk[j] == trace.first_chunk[trace.path == path].min()
    assert trace.first_chunk.max() + trace.blocks[trace.first_chunk.argmax()] <= trace.chunks


def test_chunks_are_placed_by_the_rack_rule_where_there_are_racks(small: BlockTrace) -> None:
    racked = Cluster.numbered(12, Rates(1.0, 0.5), SampledTasks(1, 1.0), racks=3)
    places = small.place(racked, replicas=3, seed=4)
    assert places.shape == (small.chunks, 3)
    assert (racked.rack[places[:, 0]] != racked.rack[places[:, 1]]).all()
    assert (racked.rack[places[:, 1]] == racked.rack[places[:, 2]]).all()
    np.testing.assert_array_equal(places, small.place(racked, 3, seed=4))
    assert places.tolist() != small.place(racked, 3, seed=5).tolist()
    flat = Cluster.numbered(4, Rates(1.0, 0.5), SampledTasks(1, 1.0))
    assert (np.sort(small.place(flat, 4)) == np.arange(4)).all()
    with pytest.raises(UsageError, match="13 replicas"):
        small.place(racked, replicas=13, kind="uniform")


BAD = {
    "few fields": (
        "job3\t70\t58\t134217729\t5\t6\torders",
        "job3\t70\t58",
        ":4: has 5 fields; give job, submit time, gap, input bytes, shuffle bytes, output bytes",
    ),
    "spaces for tabs": (SWIM, "job0 1 1 100 0 0 p\n", ":1: has 1 fields; give job, submit time"),
    "missing path": (
        "\torders\t\t",
        "",
        ":4: has no input path, and line 1 has one; complete both",
    ),
    "empty path": ("orders", " ", ":4: has no input path; give one"),
    "time in words": (
        "12\t2",
        "noon\t2",
        ":2: submit time is 'noon'; give a whole number of seconds",
    ),
    "broken time": ("12\t2", "1.5\t2", ":2: submit time is '1.5'; give a whole number of seconds"),
    "time that goes back": ("12\t0", "11\t0", ":3: time goes back by 1 s; sort the rows by time"),
    "no size": ("\t400000000\t", "\t\t", ":1: input is ''; give a number of bytes"),
    "negative size": ("134217728", "-7", ":3: input is -7; give a number of bytes, 0 or more"),
    "huge size": ("400000000", "9" * 20, ":1: input is '99999999999999999999'; give a number"),
    "one time": (
        SWIM,
        "a\t1\t0\t5\t0\t0\tp\nb\t1\t0\t5\t0\t0\tp\n",
        ": all jobs come at one time; a rate needs at least two times",
    ),
    "nothing": (SWIM, "\n", ": is empty; give a file with at least one"),
}


@pytest.mark.parametrize(("old", "new", "says"), BAD.values(), ids=BAD.keys())
def test_a_bad_row_is_named_with_its_remedy(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in SWIM
    path = write(tmp_path, SWIM.replace(old, new, 1))
    with pytest.raises(TraceError) as caught:
        read_swim(path)
    assert str(caught.value).startswith(f"{path}{says}")


def test_a_single_job_is_a_trace(tmp_path: Path) -> None:
    trace = read_swim(write(tmp_path, SWIM.splitlines()[0]))
    assert (trace.jobs, trace.tasks, trace.length) == (1, 3, 1.0)


def test_the_day_at_facebook_is_read_as_its_documentation_counts_it() -> None:
    if not REAL.exists():
        pytest.skip("the public traces are not part of the repository")
    trace = read_swim(REAL)
    assert trace.jobs == 25_428
    assert trace.tasks == pytest.approx(9.0e6, rel=0.005)
    assert 86_400 < trace.length < 86_500
    assert trace.accesses.sum() == trace.tasks
    hour = trace.busiest(3600.0)
    # No clock hour has more, and the largest of them has 1.02 million.
    assert hour.tasks >= max(trace.window(3600.0 * h, 3600.0).tasks for h in range(24)) > 1.0e6


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1\n-2\n", ":2: duration is '-2'; give a finite number above 0"),
        ("1\n\n2 s\n", ":3: duration is '2 s'; give a finite number above 0"),
        ("nan", ":1: duration is 'nan'; give a finite number above 0"),
        ("# nothing yet\n", ":1: has no duration; give at least one, a number a line"),
        ("", ": is empty; give a file with at least one"),
    ],
)
def test_a_bad_duration_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TraceError) as caught:
        read_durations(path)
    assert str(caught.value).startswith(f"{path}{says}")


def test_durations_are_one_a_line(tmp_path: Path) -> None:
    text = "# seconds\n1.5\n\n2e1  # slow\n"
    assert read_durations(write(tmp_path, text)).tolist() == [1.5, 20.0]
