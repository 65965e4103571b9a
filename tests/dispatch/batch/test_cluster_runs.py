"""`isocline run` on clusters of Ray and Dask, and what it says where it cannot run."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from isocline.dispatch.batch.engine import cluster_engine, where
from isocline.dispatch.batch.host_directories import HostDirectories, UnmountedError
from isocline.dispatch.batch.load import load_batch
from isocline.dispatch.batch.spec import Batch
from isocline.errors import IsoclineError, SystemFileError, UsageError

EXAMPLES = Path(__file__).parents[3] / "examples"
# Ray: on the loopback only, with a token of this run alone.
SAFE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "isocline", "run", *map(str, arguments)]
    environment = {**SAFE, **os.environ}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    os.environ.update({name: os.environ.get(name, value) for name, value in SAFE.items()})
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    small = {"num_cpus": 2, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=small)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture(params=["dask", "ray"])
def engine(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param, request.getfixturevalue(f"{request.param}_address")


def test_the_yaml_example_counts_as_wc_does(engine: tuple[str, str]) -> None:
    name, address = engine
    done = run(EXAMPLES / "word_count.yaml", "--engine", name, "--address", address)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    files = [*EXAMPLES.glob("*.yaml"), *EXAMPLES.glob("*.py")]
    assert {line["chunk"]: int(line["result"]) for line in found} == {
        path.name: len(path.read_text().split()) for path in files
    }
    assert len(found) == len(files)


def test_locations_that_name_no_node_are_said_with_the_nodes_there_are(
    engine: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "x.txt").write_text("a b")
    job = tmp_path / "job.yaml"
    job.write_text('command: "wc -w < {path}"\nlocations: {x.txt: [elm]}\n')
    name, address = engine
    done = run(job, "--engine", name, "--address", address)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == "2"
    assert "locations: there is no node 'elm'" in done.stderr
    assert f"the nodes are {'tcp://127.0.0.1:' if name == 'dask' else ''}" in done.stderr
    assert "until a node of that name joins, its tasks run at any node" in done.stderr


@pytest.mark.parametrize("form", ["py", "yaml"])
def test_files_in_directories_of_hosts_are_read_at_their_hosts(
    engine: tuple[str, str], tmp_path: Path, form: str
) -> None:
    here = socket.gethostname()
    for host, files in ((here, "ab"), ("elsewhere", "bc")):
        (tmp_path / host).mkdir()
        for name in files:
            (tmp_path / host / name).write_text(f"{name} at {host}")
    job = tmp_path / f"job.{form}"
    nodes = f"nodes = {{'{here}': '{here}', 'elsewhere': 'elsewhere'}}\n"
    yaml = f"command: 'cat {{path}}'\nnodes: {{{here}: {here}, elsewhere: elsewhere}}\n"
    job.write_text(yaml if form == "yaml" else nodes + "def run(data): return data.decode()\n")
    name, address = engine
    done = run(job, "--engine", name, "--address", address)
    assert done.returncode == 0, done.stderr
    found = {line["chunk"]: line["result"] for line in map(json.loads, done.stdout.splitlines())}
    assert found == {"a": f"a at {here}", "b": f"b at {here}", "c": "c at elsewhere"}


def test_a_host_that_sees_no_directory_with_the_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnmountedError, match="mount the directories of all hosts there"):
        HostDirectories({"a": tmp_path / "a", "b": tmp_path / "b"}, None)("part-0")


JOB = """
import time
chunks = ["a", "b", "c"]
engine, address = {engine!r}, {address!r}
def load(chunk): return chunk.upper()
def run(chunk):
    if chunk == "B": raise ValueError("not this one")
    return twice(chunk)
def twice(chunk): return 2 * chunk
"""


def test_a_python_job_says_where_it_runs_and_tells_what_failed_there(
    engine: tuple[str, str], tmp_path: Path
) -> None:
    name, address = engine
    (tmp_path / "job.py").write_text(JOB.format(engine=name, address=address))
    done = run(tmp_path / "job.py", "--journal", tmp_path / "journal", "--json")
    assert done.returncode == 1, done.stderr
    results = {line["key"]: line for line in json.loads(done.stdout)["results"]}
    assert (results["a"]["result"], results["c"]["result"]) == ("AA", "CC")
    assert results["b"]["error"] == "ValueError: not this one"
    assert 'job.py", line 7, in run' in results["b"]["traceback"]
    again = run(tmp_path / "job.py", "--engine", "processes", "--journal", tmp_path / "journal")
    assert again.returncode == 2
    assert "journal" in again.stderr


@pytest.mark.parametrize("name", ["dask", "ray"])
@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "127.0.0.1:1: nothing answers there (Connection refused); start"),
        ("nowhere", "nowhere: is not an address; give HOST:PORT"),
        ("127.0.0.1:70000", "127.0.0.1:70000: is not an address; give HOST:PORT"),
    ],
)
def test_an_address_where_nobody_is_is_refused_at_once(name: str, address: str, says: str) -> None:
    pytest.importorskip("distributed" if name == "dask" else "ray")
    batch = load_batch(EXAMPLES / "word_count.yaml")
    with pytest.raises(UsageError) as caught:
        where(batch, name, address, None)
    assert str(caught.value).startswith(f"--address {says}")


def test_a_server_that_is_no_dask_scheduler_is_not_waited_for() -> None:
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"

        def close_one() -> None:
            silent.accept()[0].close()

        threading.Thread(target=close_one).start()
        with pytest.raises(UsageError, match=r"nothing answers there \(it closes the connection"):
            cluster_engine("dask", address)
        with pytest.raises(UsageError, match=r"nothing answers there \(timed out"):
            cluster_engine("dask", address)


def test_racks_are_not_for_ray_which_has_its_own() -> None:
    batch = Batch("job", str, ["a"], racks={"n": "r1"})
    with pytest.raises(UsageError, match="racks: Ray knows the racks of its nodes"):
        where(batch, "ray", None, None)


def test_an_address_in_the_file_is_that_of_the_engine_in_the_file() -> None:
    batch = Batch("job", str, ["a"], engine="dask", address="nowhere")
    assert where(batch, "processes", None, None).engine == "processes"
    with pytest.raises(UsageError, match="only for --engine ray or dask"):
        where(Batch("job", str, ["a"], address="nowhere"), None, None, None)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("j.yaml", "engine: spark\n", "j.yaml:2: engine: is 'spark'; give 'processes', 'ray' or"),
        ("j.yaml", "engin: dask\n", "j.yaml:2: engin: is an unknown key; did you mean 'engine'?"),
        ("j.py", "engine = 'spark'\n", "j.py: engine is 'spark'; give one of processes, ray, dask"),
        ("j.py", "address = 7\n", "j.py: address is 7; give text"),
    ],
)
def test_a_mistake_about_the_engine_is_named_with_its_place(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    job = {"j.yaml": "command: 'wc {path}'\n", "j.py": "def run(chunk): ...\nchunks = ['a']\n"}
    (tmp_path / name).write_text(job[name] + text)
    with pytest.raises(IsoclineError) as caught:
        load_batch(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path}/{says}")


@pytest.mark.parametrize("name", ["near_data.yaml", "serve.yaml"])
def test_a_system_is_no_job_and_says_what_it_is_for(name: str) -> None:
    with pytest.raises(SystemFileError, match=r"yaml:\d+: kind: is .* give isocline run a job"):
        load_batch(EXAMPLES / name)
