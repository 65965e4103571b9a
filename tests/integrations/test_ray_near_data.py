"""Ray tasks, Ray Data reads and actors near their data, on a local cluster of several Ray nodes."""

import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# Before Ray is imported: on the loopback only, with a token of this run alone.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
data = pytest.importorskip("ray.data")

from isocline.dispatch.chunks import row_groups  # noqa: E402
from isocline.dispatch.locations import LocationReader, located  # noqa: E402
from isocline.errors import IsoclineError  # noqa: E402
from isocline.integrations.ray import NearData  # noqa: E402
from tests.live.processes import until  # noqa: E402

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SMALL = {"num_cpus": 1, "object_store_memory": 80 << 20}
CHECKS = {  # soon, as a node is to be found dead
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three Ray nodes of one CPU each."""
    head = {**SMALL, "include_dashboard": False, "_system_config": CHECKS}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(**SMALL)
        cluster.wait_for_nodes()
        ray.init(cluster.address, log_to_driver=False, logging_level="error")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def sites(cluster: Any) -> list[str]:
    """Ids of the Ray nodes."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def here(chunk: str, *more: str) -> tuple[str, str]:
    time.sleep(0.02)
    return chunk, ray.get_runtime_context().get_node_id()


def test_tasks_run_where_their_data_is_and_results_outlast_them(sites: list[str]) -> None:
    chunks = [f"c{number}" for number in range(30)]
    locations = {chunk: [sites[int(chunk[1:]) % 3]] for chunk in chunks}
    with NearData(locations, policy="jsq_local_only") as near:
        refs = list(near.map(here, chunks, "more", in_order=True))
    assert near.statistics().finished == 30
    assert ray.get(refs) == [(chunk, locations[chunk][0]) for chunk in chunks]


def test_nodes_are_named_by_digits_and_machines_too(sites: list[str]) -> None:
    (address,) = {node["NodeManagerAddress"] for node in ray.nodes()}
    locations = {"a": [sites[1][:12]], "b": [address]}
    with NearData(locations, policy="jsq_local_only") as near:
        (first,) = ray.get(list(near.map(here, ["a"])))
        assert first == ("a", sites[1])
        assert len({at for _, at in ray.get(list(near.map(here, ["b"] * 30)))}) == 3


def test_idle_nodes_help_one_whose_data_all_want(sites: list[str]) -> None:
    with NearData(lambda _: [sites[0]], seed=1) as near:
        ran = Counter(at for _, at in ray.get(list(near.map(here, map(str, range(60))))))
    assert set(ran) <= set(sites)
    assert sum(ran.values()) == 60
    assert len(ran) == 3  # as helping costs nothing here


class Counted(LocationReader):
    """Reader that notes how it is asked."""

    def __init__(self, site: str) -> None:
        self.batches: list[int] = []
        self._site = site

    def __call__(self, _chunk: str) -> tuple[str, ...]:
        return (self._site,)

    def ahead(self, chunks: Any) -> Iterator[str]:
        names = list(chunks)
        self.batches.append(len(names))
        return iter(names)


def test_readers_are_asked_for_many_chunks_at_once(sites: list[str]) -> None:
    reader = Counted(sites[0])
    with NearData(reader) as near:
        assert len(list(near.map(here, map(str, range(10))))) == 10
    assert reader.batches == [10]


def fails(chunk: str) -> None:
    raise KeyError(chunk)


def test_a_task_that_fails_raises_its_own_error(sites: list[str]) -> None:
    with NearData({"a": sites[:1]}) as near:
        with pytest.raises(KeyError, match="a"):
            list(near.map(fails, ["a"]))
        assert len(list(near.map(here, ["a"]))) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray Data, at its import
def test_row_groups_become_a_dataset_read_where_they_are(sites: list[str], tmp_path: Path) -> None:
    files = {}
    for number in range(3):
        path = str(tmp_path / f"{number}.parquet")
        table = pa.table({"value": list(range(10 * number, 10 * number + 10)), "x": ["y"] * 10})
        pq.write_table(table, path, row_group_size=5)
        files[path] = [sites[number]]
    groups = row_groups(files)
    with NearData(located(groups, files), policy="jsq_local_only") as near:
        dataset = near.read_parquet(groups, columns=["value"])
        assert near.statistics().levels["local"] == 6
    assert dataset.count() == 30
    assert dataset.schema().names == ["value"]
    doubled = dataset.map_batches(lambda batch: {"value": batch["value"] * 2})
    assert doubled.sum("value") == 2 * sum(range(30))
    with NearData(files) as near:
        assert near.read_parquet(list(files)).count() == 30


def test_actors_stay_near_their_data(sites: list[str]) -> None:
    class Cache:
        def at(self) -> str:
            return str(ray.get_runtime_context().get_node_id())

    kind: Any = ray.remote(num_cpus=0)(Cache)
    with NearData({"a": sites[:2]}) as near:
        actors = [kind.options(scheduling_strategy=near.at("a")).remote() for _ in range(4)]
        assert Counter(ray.get([actor.at.remote() for actor in actors])) == {
            sites[0]: 2,
            sites[1]: 2,
        }
        assert near.at("unknown") == "SPREAD"


def test_what_is_wrong_is_said(cluster: Any) -> None:
    with pytest.raises(IsoclineError, match="no Ray node has 64 CPUs; ask for fewer"):
        NearData(cpus=64)
    with pytest.raises(IsoclineError, match="cpus"):
        NearData(cpus=0)
    with pytest.raises(IsoclineError, match="locations: 7 is not a mapping"):
        NearData(7)  # type: ignore[arg-type]
    with NearData() as near:
        future = near.submit(len, "chunk")
        for given in (future, [future], {"key": (future,)}, {future: 1}):
            with pytest.raises(IsoclineError, match=r"give future.result\(\)"):
                near.submit(print, "chunk", given)
            with pytest.raises(IsoclineError, match=r"give future.result\(\)"):
                near.map(print, ["chunk"], named=given)


def slow(chunk: str) -> str:
    time.sleep(0.1)
    return str(ray.get_runtime_context().get_node_id())


def test_tasks_of_a_node_that_dies_run_elsewhere(cluster: Any) -> None:
    """Last, as it takes a node away."""
    node = cluster.add_node(**SMALL)
    cluster.wait_for_nodes()
    until(
        lambda: any(it["NodeID"] == node.node_id and it["Alive"] for it in ray.nodes()),
        lambda: "the node does not come up",
    )
    chunks = [str(number) for number in range(20)]
    with NearData({key: [node.node_id] for key in chunks}, policy="jsq_local_only") as near:
        refs = near.map(slow, chunks)
        first = next(refs)
        assert ray.get(first) == node.node_id
        cluster.remove_node(node)
        assert len(list(refs)) == 19
