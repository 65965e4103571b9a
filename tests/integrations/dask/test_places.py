"""Names of workers: what people write in place of addresses."""

import pytest

pytest.importorskip("distributed")

from isocline.integrations.dask.places import Places


@pytest.fixture
def places() -> Places:
    found = Places()
    found.add("tcp://10.0.0.1:4000", ["alice", "10.0.0.1", "node1.example.org"])
    found.add("tcp://10.0.0.1:4001", ["bob", "10.0.0.1", "node1.example.org"])
    found.add("tls://[fe80::1]:4000", ["3", "fe80::1", "node2"])
    return found


@pytest.mark.parametrize(
    ("name", "workers"),
    [
        ("tcp://10.0.0.1:4000", ["tcp://10.0.0.1:4000"]),
        ("10.0.0.1:4001", ["tcp://10.0.0.1:4001"]),
        ("alice", ["tcp://10.0.0.1:4000"]),
        ("10.0.0.1", ["tcp://10.0.0.1:4000", "tcp://10.0.0.1:4001"]),
        ("node1.example.org", ["tcp://10.0.0.1:4000", "tcp://10.0.0.1:4001"]),
        ("NODE1", ["tcp://10.0.0.1:4000", "tcp://10.0.0.1:4001"]),
        ("node2.example.org", ["tls://[fe80::1]:4000"]),
        ("3", ["tls://[fe80::1]:4000"]),
        ("fe80::1", ["tls://[fe80::1]:4000"]),
        ("10.0.0.2", []),
        ("10", []),
        ("", []),
    ],
)
def test_a_name_stands_for_its_workers(places: Places, name: str, workers: list[str]) -> None:
    assert places.workers([name]) == workers


def test_a_worker_of_two_places_counts_once(places: Places) -> None:
    assert places.workers(["alice", "10.0.0.1:4000"]) == ["tcp://10.0.0.1:4000"]


def test_names_of_a_lost_worker_stand_for_the_others(places: Places) -> None:
    places.remove("tcp://10.0.0.1:4000")
    assert places.workers(["alice", "node1"]) == ["tcp://10.0.0.1:4001"]


def test_only_new_names_are_returned(places: Places) -> None:
    assert places.add("tcp://10.0.0.1:4000", ["alice", "Carol"]) == {"carol"}
