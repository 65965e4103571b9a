"""Texts of prompts: alike where those of the trace are, and never twice where it has none."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isocline.loadgen.prompts import Prompts
from isocline.loadgen.schedule import Schedule
from isocline.model.traffic import PromptBlocks, read_trace

BLOCK = 8  # tokens


def common(one: str, other: str) -> int:
    shortest = min(len(one), len(other))
    return next((i for i in range(shortest) if one[i] != other[i]), shortest)


def scheduled(prompts: list[list[int]], tails: list[int]) -> Schedule:
    tokens = [max(BLOCK * len(p) - tail, 1) for p, tail in zip(prompts, tails, strict=True)]
    n = len(prompts)
    blocks = PromptBlocks.of([tuple(p[: i + 1]) for i in range(len(p))] for p in prompts)  # type: ignore[misc]
    ones = np.ones(n, np.int64)
    return Schedule("test", 1.0, np.linspace(0.0, 1.0, n), np.array(tokens), ones, blocks, BLOCK)


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=2, max_size=6),
    st.integers(1, 3),
)
def test_texts_share_as_many_blocks_as_prompts(prompts: list[list[int]], workers: int) -> None:
    tails = [i % BLOCK for i in range(len(prompts))]
    schedule = scheduled(prompts, tails)
    texts: dict[int, str] = {}
    for worker in range(min(workers, len(prompts))):
        part = schedule.part(worker, workers)
        made = Prompts(part)
        for i in range(part.times.size):
            texts[worker + workers * i] = made.text(i)
    assert [len(texts[i]) for i in sorted(texts)] == (4 * schedule.prompt_tokens).tolist()
    for i, one in enumerate(prompts):
        for j, other in enumerate(prompts):
            shared = next(
                (k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                min(len(one), len(other)),
            )
            most = min(len(texts[i]), len(texts[j]))
            assert common(texts[i], texts[j]) // (4 * BLOCK) == min(shared, most // (4 * BLOCK))


def test_without_blocks_no_two_prompts_begin_alike() -> None:
    whole = Schedule.poisson(100.0, 5.0, 40, 8)
    texts = [
        Prompts(part).text(i)
        for part in (whole.part(0, 2), whole.part(1, 2))
        for i in range(part.times.size)
    ]
    assert len({text[:8] for text in texts}) == len(texts) == whole.times.size
    assert {len(text) for text in texts} == {160}


def test_a_schedule_of_a_trace_has_its_blocks(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = ['{"timestamp": %d, "input_length": 600, "output_length": 5, "hash_ids": [7, %d]}'] * 4
    file = tmp_path / "trace.jsonl"
    file.write_text("\n".join(row % (i, i // 2) for i, row in enumerate(rows)))
    made = Prompts(Schedule.of_trace(read_trace(file, "mooncake")))
    texts = [made.text(i) for i in range(4)]
    assert texts[0] == texts[1]
    assert 1200 <= common(texts[0], texts[2]) <= 1204
