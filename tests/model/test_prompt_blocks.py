"""Cache blocks of prompts as traces tell them, and clocks that tick slowly."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline import read_trace
from isocline.errors import TraceError, UsageError
from isocline.model.systemfile.load import load
from isocline.model.traffic import Columns, PromptBlocks, Trace

MOONCAKE = (
    '{"timestamp": 0, "input_length": 900, "output_length": 2, "hash_ids": [7, 9]}\n'
    '{"timestamp": 0, "input_length": 500, "output_length": 2, "hash_ids": [7]}\n'
    '{"timestamp": 3000, "input_length": 9, "output_length": 3, "hash_ids": [8]}\n'
)
COLUMNS = {"time": "t", "prompt": "p", "blocks": "h"}
RAGGED = st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=8)


def of_prompts(trace: Trace) -> list[list[int]]:
    assert trace.blocks is not None
    first, ids = trace.blocks.first.tolist(), trace.blocks.ids.tolist()
    return [ids[a:b] for a, b in pairwise(first)]


def write(folder: Path, text: str) -> Path:
    (folder / "trace").write_text(text)
    return folder / "trace"


@pytest.mark.parametrize("kind", ["auto", "mooncake", "vllm"])
def test_a_mooncake_trace_tells_blocks(tmp_path: Path, kind: str) -> None:
    assert of_prompts(read_trace(write(tmp_path, MOONCAKE), kind)) == [[0, 1], [0], [2]]


@pytest.mark.parametrize("kind", ["auto", "mooncake"])
def test_a_mooncake_trace_may_tell_none_or_some(tmp_path: Path, kind: str) -> None:
    none = MOONCAKE.replace(', "hash_ids": [7, 9]', "").replace(', "hash_ids": [7]', "")
    assert of_prompts(read_trace(write(tmp_path, none), kind)) == [[], [], [0]]
    none = none.replace(', "hash_ids": [8]', "")
    assert read_trace(write(tmp_path, none), kind).blocks is None


@pytest.mark.parametrize("value", ["a b", "[a, b]", " a,b "])
def test_a_csv_tells_blocks_as_text(tmp_path: Path, value: str) -> None:
    text = f"t;p;h\n2;9;b\n0;9;{value}\n1;9;\n"
    # In order of time; numbers are in the order of the file.
    assert of_prompts(read_trace(write(tmp_path, text), columns=COLUMNS)) == [[1, 0], [], [0]]


@pytest.mark.parametrize("many", [list, tuple, np.array])
def test_arrays_tell_blocks_as_lists(many: Any) -> None:
    frame = {"t": np.arange(2.0), "p": np.ones(2), "h": [many([5, 6]), many([5])]}
    assert of_prompts(read_trace(frame, columns=COLUMNS)) == [[0, 1], [0]]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("3", "hash_ids is 3; give a list of the hashes of the prompt's blocks"),
        ("[1.5]", "hash_ids holds 1.5; give hashes as whole numbers or text"),
        ("[true]", "hash_ids holds True; give hashes as whole numbers or text"),
        ("[[1]]", r"hash_ids holds \[1\]; give hashes as whole numbers or text"),
    ],
)
def test_what_tells_no_blocks_is_named(tmp_path: Path, value: str, problem: str) -> None:
    path = write(tmp_path, MOONCAKE.replace("[8]", value))
    with pytest.raises(TraceError, match=f"^{path}:3: {problem}$"):
        read_trace(path)


def test_blocks_need_a_prompt_and_one_row_for_each_request() -> None:
    with pytest.raises(UsageError, match="blocks are those of a prompt; give its column, too"):
        Columns("t", blocks="h")
    with pytest.raises(UsageError, match="blocks has 1 value, and times has 2"):
        Trace("x", np.arange(2.0), np.ones(2), np.ones(2), blocks=PromptBlocks.of([[1]]))


def test_prompts_of_unequal_length_keep_their_blocks_in_another_order() -> None:
    blocks = PromptBlocks.of([["a", "b"], [], ["a"], ["c", "a", "d"]])
    taken = blocks.taken(np.array([3, 1, 0, 2]))
    assert taken.first.tolist() == [0, 3, 3, 5, 6]
    assert taken.ids.tolist() == [2, 0, 3, 0, 1, 0]
    assert blocks.seen.tolist() == [False, False, True, False, True, False]
    assert blocks.leading(np.array([1, 0, 1, 1, 1, 1], bool)).tolist() == [1, 0, 1, 3]


@given(RAGGED, st.data())
def test_any_order_and_any_marks_are_those_of_lists(
    prompts: list[list[int]], data: st.DataObject
) -> None:
    blocks = PromptBlocks.of(prompts)
    marked = data.draw(st.lists(st.booleans(), min_size=len(blocks.ids), max_size=len(blocks.ids)))
    order = data.draw(st.permutations(range(len(prompts))))
    ids, first = blocks.ids.tolist(), blocks.first.tolist()
    pieces = [ids[a:b] for a, b in pairwise(first)]
    taken = blocks.taken(np.array(order))
    assert [taken.ids[a:b].tolist() for a, b in pairwise(taken.first)] == [pieces[i] for i in order]
    marks = [marked[a:b] for a, b in pairwise(first)]
    leading = [[*some, False].index(False) for some in marks]
    assert blocks.leading(np.array(marked, bool)).tolist() == leading
    before = [{id_ for piece in pieces[:i] for id_ in piece} for i in range(len(pieces))]
    seen = [one in before[i] for i, piece in enumerate(pieces) for one in piece]
    assert blocks.seen.tolist() == seen


def test_requests_of_one_time_are_spread_over_their_tick(tmp_path: Path) -> None:
    path = write(tmp_path, MOONCAKE)
    assert read_trace(path).times.tolist() == [0.0, 0.0, 3.0]
    assert read_trace(path, tick=3.0).times.tolist() == [0.0, 1.5, 3.0]
    assert read_trace(path, tick=1.0).times.tolist() == [0.0, 0.5, 3.0]
    # Never beyond the next time, and so never out of order.
    assert read_trace(path, tick=30.0).times.tolist() == [0.0, 1.5, 3.0]
    with pytest.raises(UsageError, match="tick"):
        read_trace(path, tick=0.0)
    with pytest.raises(UsageError, match="tick nan: give a finite number of s above 0"):
        read_trace(path).spread(float("nan"))


SYSTEM = """kind: routing
{caches}backends:
  - {{name: a, curve: {{type: hyperbolic, peak: 4.0, half: 1.0}}, prefix_cache: {{tokens: 70}}}}
  - {{name: b, curve: {{type: hyperbolic, peak: 4.0, half: 1.0}}}}
frontends:
  - {{name: f, rate: 1.0, backends: ["*"]}}
"""


@pytest.mark.parametrize(
    ("caches", "size", "second"),
    [
        ("", 16, None),
        ("prefix_cache: {block_size: 512}\n", 512, None),
        ("prefix_cache: {tokens: 900}\n", 16, 900),
        ("prefix_cache: {tokens: 0, block_size: 1}\n", 1, 0),
    ],
)
def test_a_system_file_has_caches(
    tmp_path: Path, caches: str, size: int, second: int | None
) -> None:
    (tmp_path / "x.yaml").write_text(SYSTEM.format(caches=caches))
    system = load(tmp_path / "x.yaml")
    assert system.block_size == size
    assert [b.cache_tokens for b in system.backends] == [70, second]
