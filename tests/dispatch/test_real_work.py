"""Words counted and Parquet files added up on eight workers, whose nodes have a slow network."""

import io
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pytest

import isocline
from isocline.dispatch.engines.processes import ProcessEngine
from isocline.dispatch.rules import Rules
from isocline.dispatch.telemetry.records import AttemptRecord, Outcome

cloudpickle.register_pickle_by_value(sys.modules[__name__])

NODES = [f"n{number}" for number in range(8)]
HOT = 4  # of them hold all copies of most chunks
REPLICAS = 3
# Both far longer than a busy machine takes to tell a node what to do next: nothing would be fetched
# ahead where that takes longer, as it would save nothing.
WORK = 0.25  # s that a task takes at least
SIZE, LINK = 16_000, 64_000.0  # bytes of a chunk, at least; bytes/s from node to node
READ = SIZE / LINK  # s
RATE = 200.0  # tasks/s: of these 160 for the hot nodes, which can do 4 / 0.25 = 16
CHUNKS = 40


class Corpus(NamedTuple):
    nodes: dict[str, Path]
    holders: dict[str, list[str]]  # by chunk
    right: dict[str, Any]  # results by chunk


def text(rng: np.random.Generator) -> tuple[bytes, dict[str, int]]:
    words = rng.choice(["to", "be", "or", "not", "that", "question"], SIZE // 3).tolist()
    return " ".join(words).encode(), dict(Counter(words))


def table(rng: np.random.Generator) -> tuple[bytes, dict[str, int]]:
    """Keys and whole numbers, and the sum of these for each key as NumPy has it."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = np.array(["ash", "elm", "oak"])
    keys, values = rng.integers(0, 3, 4000), rng.integers(-1000, 1000, 4000)
    file = io.BytesIO()
    pq.write_table(pa.table({"key": names[keys], "value": values}), file, compression="none")
    return file.getvalue(), {str(names[k]): int(values[keys == k].sum()) for k in range(3)}


def count(data: bytes) -> dict[str, int]:
    time.sleep(WORK)
    return dict(Counter(data.decode().split()))


def add_up(data: bytes) -> dict[str, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    time.sleep(WORK)
    read = pq.read_table(pa.BufferReader(data), use_threads=False)
    found = read.group_by("key", use_threads=False).aggregate([("value", "sum")])
    return dict(zip(found["key"].to_pylist(), found["value_sum"].to_pylist(), strict=True))


WORKS = {"text": (text, count), "table": (table, add_up)}


def laid_out(kind: str, root: Path, chunks: int) -> Corpus:
    """Three copies of each chunk, of eight in ten on the hot nodes alone."""
    rng = np.random.default_rng(6)
    nodes = {name: root / name for name in NODES}
    for path in nodes.values():
        path.mkdir()
    holders, right = {}, {}
    for number in range(chunks):
        data, right[f"{kind}-{number}"] = WORKS[kind][0](rng)
        among = NODES[:HOT] if rng.random() < 0.8 else NODES[HOT:]
        holders[f"{kind}-{number}"] = at = rng.choice(among, REPLICAS, replace=False).tolist()
        for name in at:
            (nodes[name] / f"{kind}-{number}").write_bytes(data)
    return Corpus(nodes, holders, right)


@pytest.mark.parametrize("kind", WORKS)
def test_a_hot_spot_is_helped_with_data_fetched_ahead(kind: str, tmp_path: Path) -> None:
    corpus = laid_out(kind, tmp_path, CHUNKS)
    engine = ProcessEngine(corpus.nodes, link=LINK)
    # A copy of a task, or one that waits behind a slow one, would start for another reason.
    rules = Rules(straggler=math.inf, relief=math.inf)
    with isocline.Scheduler(
        engine, "late_binding", corpus.holders, rules=rules, seed=1
    ) as scheduler:
        found = worked_off(scheduler, WORKS[kind][1], corpus)
        ran = finished(scheduler)
        assert all(r.node in engine.locations(chunk) for chunk, r in ran.items())
    assert found == corpus.right
    assert len(ran) == scheduler.records.outcomes[Outcome.FINISHED] == len(corpus.holders)
    assert scheduler.statistics().failed == 0
    helped = {chunk: r for chunk, r in ran.items() if r.node not in corpus.holders[chunk]}
    assert helped
    assert len(helped) < len(ran)
    assert {r.why for r in helped.values()} == {"helps from afar, with data fetched ahead"}


def test_what_is_read_from_afar_takes_as_long_as_the_network_makes_it(tmp_path: Path) -> None:
    """Where nothing is fetched ahead a task waits for it: each, and so their mean."""
    corpus = laid_out("text", tmp_path, CHUNKS)
    with isocline.Scheduler(
        policy="late_binding",
        locations=corpus.holders,
        rules=Rules(fetch_ahead=0, straggler=math.inf),
        nodes=corpus.nodes,
        link=LINK,
        seed=1,
    ) as scheduler:
        assert worked_off(scheduler, count, corpus) == corpus.right
        seconds = scheduler.explain().seconds
    remote = [r for r in finished(scheduler).values() if r.level == "remote"]
    assert remote
    assert all(r.ended - r.started > WORK + READ for r in remote)
    assert seconds["remote"] > seconds["local"]


def worked_off(
    scheduler: isocline.Scheduler, work: Callable[[bytes], Any], corpus: Corpus
) -> dict[str, Any]:
    """Results by chunk; tasks come in open loop, so that the hot nodes fall behind."""
    given = {}
    begin = time.monotonic()
    for number, chunk in enumerate(corpus.holders):
        time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
        given[chunk] = scheduler.submit(work, chunk, key=chunk)
    return {chunk: future.result() for chunk, future in given.items()}


def finished(scheduler: isocline.Scheduler) -> dict[str, AttemptRecord]:
    return {r.key: r for r in scheduler.records if r.outcome is Outcome.FINISHED}
