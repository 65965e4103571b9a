"""Near-data files give the cluster they describe; each kind of bad one gives its own message."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from isocline.cli import main
from isocline.errors import SystemFileError
from isocline.model.cluster import (
    Cluster,
    ExplicitTasks,
    HotSpot,
    Rates,
    RecordedService,
    SampledTasks,
    SlotArrivals,
)
from isocline.model.systemfile import load, notes
from isocline.model.systemfile.problems import TYPES
from isocline.model.traffic import LognormalSizes, sizes

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
GOOD = (HERE / "good_near_data_file.yaml").read_text()
TASKS = GOOD[GOOD.index("tasks:") :]
TEN = "kind: near-data\nservers: {count: 10, racks: 2}\nrates: {local: 1.0, remote: 0.5}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str) -> Cluster:
    cluster = load(write(folder, text))
    assert isinstance(cluster, Cluster)
    return cluster


def message(path: Path) -> str:
    with pytest.raises(SystemFileError) as caught:
        load(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def local(cluster: Cluster) -> list[list[int]]:
    assert isinstance(cluster.tasks, ExplicitTasks)
    graph = cluster.tasks.graph
    return [graph.neighbours(kind).tolist() for kind in range(graph.sources)]


def test_a_file_gives_the_cluster_it_describes(tmp_path: Path) -> None:
    cluster = read(tmp_path, GOOD)
    assert cluster.name == "cluster"
    assert cluster.servers == cluster.labels == ("a1", "a2", "b1", "b2")
    assert cluster.racks == ("a", "b")
    assert cluster.rack.tolist() == [0, 0, 1, 1]
    assert cluster.rates == Rates(local=1.0, rack=0.8, remote=0.5)
    assert cluster.service == LognormalSizes(1.5)
    assert local(cluster) == [[0, 1], [0, 2, 3]]
    assert cluster.tasks.rates.tolist() == [0.7, 0.3]  # type: ignore[union-attr]
    assert notes(cluster) == []


def test_servers_may_be_counted(tmp_path: Path) -> None:
    cluster = read(tmp_path, TEN.replace("racks: 2", "racks: 3") + "tasks: {replicas: 3, rate: 5}")
    assert cluster.servers == tuple("0123456789")
    assert cluster.labels == tuple(range(10))
    assert cluster.rack.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    text = TEN.replace("{count: 10, racks: 2}", "10") + "name: ten\ntasks: {replicas: 3, rate: 5}"
    cluster = read(tmp_path, text)
    assert (cluster.size, cluster.racks, cluster.name) == (10, ("0",), "ten")


def test_servers_may_be_a_list_of_bare_names_even_numbers(tmp_path: Path) -> None:
    servers = "servers: [db, 7, 1]\nrates: {local: 1.0, remote: 0.5}\n"
    tasks = "tasks:\n  - {servers: [7, 0], rate: 1.0}\n  - {servers: [1], rate: 2.0}\n"
    cluster = read(tmp_path, "kind: near-data\n" + servers + tasks)
    assert cluster.servers == ("db", "7", "1")
    # 7 and 1 are names; there is no server called 0, so it is the first.
    assert local(cluster) == [[0, 1], [2]]


def test_a_sampler_is_read(tmp_path: Path) -> None:
    text = TEN + (
        "tasks: {replicas: 2, rate: 5, placement: uniform, hotspot: {servers: 0.5, share: 0.8}}"
    )
    assert read(tmp_path, text).tasks == SampledTasks(2, 5.0, HotSpot(0.5, 0.8), "uniform")
    assert read(tmp_path, TEN + "tasks: {replicas: 3, rate: 5, placement: hdfs}").tasks == (
        SampledTasks(3, 5.0, None, "hdfs")
    )


def test_popularity_makes_types_whose_rates_add_up(tmp_path: Path) -> None:
    text = TEN + "tasks: {replicas: 2, rate: 5.0, popularity: {zipf: 1.0, chunks: 4, seed: SEED}}"
    tasks, again, other = (
        read(tmp_path, text.replace("SEED", seed)).tasks for seed in ("1", "1", "2")
    )
    assert isinstance(tasks, ExplicitTasks)
    assert isinstance(again, ExplicitTasks)
    assert isinstance(other, ExplicitTasks)
    assert tasks.rate == pytest.approx(5.0)
    # 1 + 1/2 + 1/3 + 1/4 = 25/12: the chunks have 12/25, 6/25, 4/25, 3/25 of the rate
    assert sorted(tasks.rates) == pytest.approx([0.6, 0.8, 1.2, 2.4])
    np.testing.assert_array_equal(tasks.graph.sink, again.graph.sink)
    assert tasks.graph.sink.tolist() != other.graph.sink.tolist()


def test_popularity_may_come_from_a_trace_beside_the_file(tmp_path: Path) -> None:
    block = 128 * 2**20
    jobs = [(0, 2 * block, "p"), (1, block, "q"), (2, block, "p")]
    rows = "".join(f"job\t{t}\t0\t{size}\t0\t0\t{path}\n" for t, size, path in jobs)
    (tmp_path / "jobs.tsv").write_text(rows)
    text = TEN + "tasks: {replicas: 2, rate: 8.0, popularity: {trace: jobs.tsv}}"
    tasks = read(tmp_path, text).tasks
    assert isinstance(tasks, ExplicitTasks)
    assert sorted(tasks.rates) == pytest.approx([2.0, 2.0, 4.0])  # p's first block is read twice


def test_recorded_durations_are_read_from_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "seconds.txt").write_text("# measured\n2\n\n6.0\n")
    recorded = "{type: recorded, file: seconds.txt}"
    law = read(tmp_path, GOOD.replace("{type: lognormal, cv: 1.5}", recorded)).service
    assert isinstance(law, RecordedService)
    assert law.durations.tolist() == [2.0, 6.0]
    (tmp_path / "seconds.txt").write_text("2\nlong\n")
    path = write(tmp_path, GOOD.replace("{type: lognormal, cv: 1.5}", recorded))
    assert message(path) == (
        f"{path}:9: service: {tmp_path / 'seconds.txt'}:2: duration is 'long'; "
        "give a finite number above 0"
    )


def test_what_a_user_should_know_is_said(tmp_path: Path) -> None:
    text = GOOD.replace("rack: 0.8, ", "").replace('["b*", 0]', "[a2]")
    assert notes(read(tmp_path, text)) == [
        "rates: no rack rate is given, so another server of a rack is as any other",
        "servers 'b1', 'b2': no local tasks; can only help others",
    ]


BAD_EDITS = yaml.safe_load((HERE / "bad_near_data_files.yaml").read_text())
BAD_SAMPLERS = yaml.safe_load((HERE / "bad_samplers.yaml").read_text())


@pytest.mark.parametrize("edit", BAD_EDITS.values(), ids=BAD_EDITS.keys())
def test_a_bad_value_is_named_with_its_line_field_and_remedy(
    tmp_path: Path, edit: dict[str, str]
) -> None:
    old = GOOD if edit["replace"] == "all of it" else edit["replace"]
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, edit["by"]))
    assert message(path) == f"{path}:{edit['says']}"


@pytest.mark.parametrize("bad", BAD_SAMPLERS.values(), ids=BAD_SAMPLERS.keys())
def test_a_bad_sampler_is_named_with_its_remedy(tmp_path: Path, bad: dict[str, str]) -> None:
    path = write(tmp_path, TEN + "tasks: " + bad["tasks"])
    assert message(path) == f"{path}:4: {bad['says'].replace('FOLDER', str(tmp_path))}"


def test_every_service_the_model_knows_can_stand_in_a_file() -> None:
    from isocline.model.systemfile.near_data.schema import AnyService

    records = AnyService.__origin__.__args__  # type: ignore[attr-defined]
    tags = {tag for r in records for tag in r.model_fields["type"].annotation.__args__}
    assert tags == set(TYPES["service"]) == {*sizes.ALL, RecordedService.type}


names = st.text("abcdefgh-.é#:'\"{} ", min_size=1, max_size=8)
rates = st.floats(1e-6, 1e6)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    servers = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    racked = draw(st.booleans())
    entries = [{"name": n} | ({"rack": draw(names)} if racked else {}) for n in servers]
    some = st.lists(st.sampled_from(servers), min_size=1, unique=True)
    types = st.fixed_dictionaries({"servers": some, "rate": rates})
    remote = draw(rates)
    return {
        "kind": "near-data",
        "servers": entries,
        "rates": {"local": 2.0 * remote, "remote": remote},
        "tasks": draw(st.lists(types, min_size=1, max_size=5)),
    }


@given(documents())
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, list[dict[str, object]]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    cluster = read(folder, json.dumps(document))  # JSON is YAML
    assert list(cluster.servers) == [entry["name"] for entry in document["servers"]]
    for m, entry in enumerate(document["servers"]):
        assert cluster.racks[cluster.rack[m]] == entry.get("rack", "0")
    assert isinstance(cluster.tasks, ExplicitTasks)
    assert cluster.tasks.rates.tolist() == [entry["rate"] for entry in document["tasks"]]
    for numbers, entry in zip(local(cluster), document["tasks"], strict=True):
        assert {cluster.servers[m] for m in numbers} == set(entry["servers"])  # type: ignore[call-overload]


def test_the_example_of_the_paper_is_its_hot_spot() -> None:
    cluster = load(EXAMPLES / "near_data.yaml")
    assert isinstance(cluster, Cluster)
    assert cluster.size == 1000
    assert cluster.rates == Rates(1.0, 0.5)
    assert cluster.tasks == SampledTasks(3, 700.0, HotSpot(0.5, 0.8))
    groups = cluster.tasks.groups(cluster)
    assert groups is not None
    assert groups.sizes.tolist() == [500, 500]
    assert groups.rates == pytest.approx([560.0, 140.0])


def test_the_small_cluster_has_a_set_that_needs_help_and_keeps_to_the_rack_rule() -> None:
    cluster = load(EXAMPLES / "small_cluster.yaml")
    assert isinstance(cluster, Cluster)
    assert isinstance(cluster.tasks, ExplicitTasks)
    assert notes(cluster) == []
    assert local(cluster) == [[0, 1], [1, 2, 3], [2, 4], [4, 5]]
    assert cluster.tasks.rates[0] > 2 * cluster.rates.local
    assert cluster.load < 0.8


def test_the_files_in_the_document_can_be_loaded(tmp_path: Path) -> None:
    document = (HERE.parents[1] / "docs" / "near-data-files.md").read_text()
    shown = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    named, counted = (read(tmp_path, text) for text in shown)
    assert (named.size, named.racks, named.arrival_rate) == (4, ("a", "b"), 0.25)
    assert (counted.size, len(counted.racks), counted.load) == (200, 10, 0.7)
    assert (counted.rack[:20] == 0).all()
    assert counted.rack[20] == 1


@pytest.mark.parametrize("verb", ["curves", "fluid"])
def test_a_verb_for_routing_alone_says_so(verb: str) -> None:
    path = EXAMPLES / "near_data.yaml"
    result = CliRunner().invoke(main, [verb, str(path)], prog_name="isocline")
    assert result.exit_code == 2
    assert result.stderr == (
        f"isocline: {path}: is of kind near-data; this verb needs kind: routing "
        "(plan and simulate take both)\n"
    )


def test_a_variance_of_the_arrivals_and_types_that_are_not_asked_for_are_read(
    tmp_path: Path,
) -> None:
    idle = "tasks:\n  - {servers: [a1], rate: 0}"
    text = GOOD.replace("tasks:", f"arrivals: {{variance: 2.5}}\n{idle}")
    cluster = load(write(tmp_path, text))
    assert isinstance(cluster, Cluster)
    assert cluster.arrivals == SlotArrivals(2.5)  # over the rate of 1 per slot
    assert isinstance(cluster.tasks, ExplicitTasks)
    assert cluster.tasks.rates.tolist() == [0.7, 0.3]
