"""What the engines on other engines share: locations of chunks, and the node's side of a task."""

import pickle

import cloudpickle
import pytest

from isocline.dispatch.engines.base import Done, Drops, Event, Holds, Raised, WorkItem
from isocline.dispatch.engines.common.attempt import Read
from isocline.dispatch.engines.common.chunk_sites import ChunkSites
from isocline.dispatch.engines.common.node_inputs import SentInputs
from isocline.dispatch.engines.common.remote_node import RemoteNode, TaskRequest
from isocline.dispatch.inputs import InputData


def test_each_node_at_a_place_hears_of_a_chunk_that_came_or_went_and_of_no_other() -> None:
    nodes, heard = {"a": ["a/0", "a/1"], "b": ["b"]}, list[Event]()
    sites = ChunkSites(lambda place: nodes.get(place, ()), heard.append)

    def news() -> list[Event]:
        found = heard.copy()
        heard.clear()
        return found

    sites.seen("c", ["a", "gone"])
    assert news() == [Holds("c", "a/0"), Holds("c", "a/1")]
    assert (sites.at("c"), sites.nodes("c")) == (["a", "gone"], ["a/0", "a/1"])
    sites.seen("c", ["a", "gone"])
    sites.add("c", "a")
    assert news() == []
    sites.add("c", "b")
    assert news() == [Holds("c", "b")]
    sites.seen("c", ["b"])
    assert news() == [Drops("c", "a/0"), Drops("c", "a/1")]
    sites.add("d", "b")
    news()
    sites.node_up("b", "b")  # a node that died and is up again
    assert news() == [Holds("c", "b"), Holds("d", "b")]
    sites.node_up("a/0", "a")
    assert news() == []
    assert (sites.at("e"), sites.nodes("e")) == ([], [])


def request(function: int, chunk: str | None, held: bool = True) -> TaskRequest:
    return TaskRequest(7, function, cloudpickle.dumps(((1,), {})), chunk, held, None)


@pytest.mark.parametrize("held", [True, False])
def test_a_node_reads_a_chunk_as_its_engine_does_else_by_the_loader_else_gives_the_name(
    held: bool,
) -> None:
    def both(*args: object) -> tuple[object, ...]:
        return args

    for loader, read, chunk, expected in (
        (None, None, None, (1,)),
        (None, None, "c", ("c", 1)),
        (str.upper, None, "c", ("C", 1)),
        (str.upper, lambda: Read("the other engine's", held), "c", ("the other engine's", 1)),
    ):
        node = RemoteNode(loader and cloudpickle.dumps(loader))
        node.functions.learn(3, cloudpickle.dumps(both))
        done = node.perform("n", request(3, chunk, held), read)
        assert isinstance(done, Done)
        assert pickle.loads(done.value) == expected
        assert (done.attempt, done.node, done.held) == (7, "n", held or chunk is None)


def test_a_function_that_was_forgotten_fails_its_task_alone() -> None:
    node = RemoteNode(None)
    node.functions.learn(3, cloudpickle.dumps(abs))
    node.functions.forget(3)
    assert isinstance(node.perform("n", request(3, None), None), Raised)
    node.functions.learn(4, cloudpickle.dumps(abs))
    assert isinstance(node.perform("n", request(4, None), None), Done)


def test_inputs_of_an_attempt_that_was_withdrawn_before_they_were_sent_are_sent_with_the_next() -> (
    None
):
    sent = SentInputs()
    inputs = tuple(InputData(number, b"", shared=False) for number in (1, 2))
    work = WorkItem(1, "t", b"", b"", inputs=inputs)
    assert list(sent.to_send(work)) == list(inputs)
    sent.unsent(inputs[1:])
    assert list(sent.to_send(work._replace(attempt=2))) == [inputs[1]]
    assert not sent.to_send(work._replace(attempt=3))
