"""Locations by WebHDFS, from a stub of a namenode over real sockets."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from isocline.dispatch.chunks import Chunk
from isocline.dispatch.locations import WebHdfs, located
from isocline.errors import UsageError
from tests.dispatch.locations.stub_namenode import NEW, OLD, Block, Namenode, served

MB = 1 << 20
FILES = {
    "/data/a b.parquet": [
        Block(0, 128 * MB, ("dn1", "dn2")),
        Block(128 * MB, 128 * MB, ("dn2", "dn3")),
        Block(256 * MB, 10 * MB, ("dn1", "dn4"), corrupt=True),
    ],
    "/data/empty": [],
    "/c": [Block(0, 5, ("dn9",))],
}
Start = Callable[[], Namenode]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(served(Namenode(FILES)))


def nobody() -> str:
    """Address at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("operations", [{NEW, OLD}, {OLD}])
def test_holders_come_by_their_bytes(start: Start, operations: set[str]) -> None:
    node = start()
    node.operations = operations
    hdfs = WebHdfs(f"webhdfs://{node.address}/data")
    found = hdfs.look_up(["a b.parquet", "empty", "/c", "hdfs://nn:8020/data/a%20b.parquet"])
    assert found == {
        "a b.parquet": ("dn2", "dn1", "dn3"),
        "empty": (),
        "/c": ("dn9",),
        "hdfs://nn:8020/data/a%20b.parquet": ("dn2", "dn1", "dn3"),
    }
    if NEW not in operations:  # what the server does not know is asked no more
        before = len(node.asked)
        hdfs("empty")
        hdfs.look_up({"x": Chunk("empty", 0, 0)})
        assert [query["op"] for _, query in node.asked[before:]] == [OLD]


def test_row_groups_go_by_the_blocks_that_they_lie_in(start: Start) -> None:
    node = start()
    groups = {
        "a#0": Chunk("a b.parquet", 4, 100 * MB),
        "a#1": Chunk("a b.parquet", 100 * MB, 30 * MB),
        "a#2": Chunk("a b.parquet", 130 * MB, MB),
    }
    found = located(groups, WebHdfs(f"webhdfs://{node.address}/data"))
    assert found == {"a#0": ("dn1", "dn2"), "a#1": ("dn2", "dn1", "dn3"), "a#2": ("dn2", "dn3")}
    assert len(node.asked) == 1


def test_known_holders_are_kept_as_far_as_there_is_room(start: Start) -> None:
    node = start()
    hdfs = WebHdfs(f"webhdfs://{node.address}/data", most=2)
    for _ in range(2):
        assert list(hdfs.ahead(iter(["/c", "empty"]))) == ["/c", "empty"]
        assert hdfs("/c") == ("dn9",)
    assert len(node.asked) == 2
    hdfs("a b.parquet")  # the holders of `empty` were used least lately
    assert hdfs("/c") == ("dn9",)
    assert len(node.asked) == 3
    hdfs("empty")
    assert len(node.asked) == 4


def test_endless_chunks_are_looked_up_batch_by_batch(start: Start) -> None:
    node = start()
    hdfs = WebHdfs(f"webhdfs://{node.address}/", at_a_time=1)

    def endless() -> Iterator[str]:
        while True:
            yield "/c"

    chunks = hdfs.ahead(endless())
    assert [next(chunks) for _ in range(100)] == ["/c"] * 100
    assert len(node.asked) == 1


def test_the_active_one_of_a_pair_of_namenodes_is_found_and_kept(start: Start) -> None:
    standby, active = start(), start()
    standby.standby = True
    hdfs = WebHdfs(f"webhdfs://{standby.address},{active.address}/data")
    assert hdfs.look_up(["/c"]) == {"/c": ("dn9",)}
    hdfs("empty")
    assert len(standby.asked) == 1
    standby.standby, active.standby = False, True  # they change roles
    assert hdfs("a b.parquet") == ("dn2", "dn1", "dn3")
    dead = WebHdfs(f"webhdfs://{nobody()},{standby.address}/data")
    assert dead("/c") == ("dn9",)


def test_redirects_are_followed(start: Start) -> None:
    gateway, node = start(), start()
    gateway.moved = node.address
    assert WebHdfs(f"webhdfs://{gateway.address}/", user="alice")("/c") == ("dn9",)
    assert node.asked == [("/c", {"op": NEW, "user.name": "alice"})]
    node.moved = gateway.address
    with pytest.raises(UsageError, match=r"no namenode answers \(.*more than 4 redirects\)"):
        WebHdfs(f"webhdfs://{gateway.address}/")("/c")


def test_users_and_tokens_are_told_and_tokens_never_said(start: Start, tmp_path: Path) -> None:
    node = start()
    node.user = "alice"
    url = f"webhdfs://{node.address}/"
    assert WebHdfs(url, user="alice")("/c") == ("dn9",)
    with pytest.raises(UsageError, match=r"/c: user bob may not read it \(Permission denied\)"):
        WebHdfs(url, user="bob")("/c")
    node.user, node.token = None, "s3cret"
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    assert WebHdfs(url, token=file)("/c") == WebHdfs(url, token="s3cret")("/c") == ("dn9",)
    with pytest.raises(UsageError, match=r"give a valid delegation token \(token_file=PATH\)"):
        WebHdfs(url)("/c")
    file.write_text("0ther")
    with pytest.raises(UsageError) as caught:
        WebHdfs(url, token=file)("/c")
    assert "0ther" not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        WebHdfs(f"webhdfs://{nobody()}/", token=file)("/c")
    assert "refuses connections" in str(caught.value)
    assert "0ther" not in str(caught.value)
    file.unlink()
    with pytest.raises(UsageError, match=r"the file of the token, .*token, cannot be read"):
        WebHdfs(url, token=file)("/c")
    with pytest.raises(UsageError, match="user and token are both given"):
        WebHdfs(url, user="alice", token="x")


def test_errors_name_the_source_and_the_remedy(start: Start) -> None:
    node = start()
    hdfs = WebHdfs(f"webhdfs://{node.address}/data", most=1)
    with pytest.raises(UsageError, match=rf"{node.address}: /data/x: does not exist.*correct"):
        hdfs.look_up(["x"])
    with pytest.raises(UsageError, match="does not exist"):
        list(hdfs.ahead(["/c", "empty", "x"]))
    node.operations = set()
    with pytest.raises(UsageError, match=r"/c: status 400 \(Invalid value.*\); is this the HTTP"):
        hdfs("/c")
    node.operations = {NEW}
    for raw in (b"<html>", b"[]", b'{"BlockLocations": {"BlockLocation": [{}]}}', b'{"Blocks": 1}'):
        node.raw = raw
        with pytest.raises(UsageError, match="the answer is of no version of WebHDFS that is kn"):
            hdfs("/c")
    other = nobody()
    with pytest.raises(UsageError, match=rf"no namenode answers \(http://{other}: refuses .*start"):
        WebHdfs(f"webhdfs://{other}/")("/c")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UsageError, match=r"no answer within 0\.1 s"):
            WebHdfs(f"webhdfs://{address}/", patience=0.1)("/c")


@pytest.mark.parametrize(
    "url",
    ["hdfs://nn:8020/", "webhdfs://", "webhdfs://nn/", "webhdfs://nn:x/", "webhdfs://a@nn:1/", "x"],
)
def test_urls_of_other_kinds_are_refused_with_the_form(url: str) -> None:
    with pytest.raises(UsageError, match="give webhdfs://HOST:9870/FOLDER"):
        WebHdfs(url)
