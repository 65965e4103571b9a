"""The registry of calls: put, delete, time to live, and its file."""

import asyncio
from pathlib import Path

import pytest

from isocline.errors import UsageError
from isocline.gateway.discovery.registry import MOST, Registry, RegistrySource, TakenError
from isocline.gateway.discovery.source import SourceError
from isocline.model.endpoint import Endpoint
from tests.gateway.discovery.reports import Running
from tests.virtual_time import run_virtually


def names(registry: Registry) -> list[str]:
    return [it.name for it in registry.endpoints()]


def test_backends_are_put_replaced_and_deleted() -> None:
    registry = Registry()
    assert registry.put("b", "b:1", {"gpu": "h100"}, 0.0)
    assert registry.put("a", "a:1", {}, 0.0)
    assert not registry.put("a", "a:2", {}, 0.0)
    assert registry.endpoints() == [
        Endpoint("a", "a:2"),
        Endpoint("b", "b:1", {"gpu": "h100"}),
    ]
    assert registry.delete("a")
    assert not registry.delete("a")
    assert names(registry) == ["b"]


def test_one_with_a_time_to_live_is_gone_unless_it_is_put_again() -> None:
    registry = Registry()
    registry.put("a", "a:1", {}, 0.0, ttl=10.0)
    registry.put("b", "b:1", {}, 0.0, ttl=20.0)
    registry.put("c", "c:1", {}, 0.0)
    registry.put("a", "a:1", {}, 8.0, ttl=10.0)
    assert registry.next_end() == 18.0
    registry.expire(17.9)
    assert names(registry) == ["a", "b", "c"]
    registry.expire(18.0)
    assert names(registry) == ["b", "c"]
    registry.expire(1e9)
    assert names(registry) == ["c"]
    assert registry.next_end() == float("inf")


@pytest.mark.parametrize(
    ("name", "address", "ttl", "message"),
    [
        ("", "a:1", None, "name: '' is not a name; give printable text"),
        ("n" * 254, "a:1", None, r"name: 'n+\.\.\.' has 254 characters; give at most 253"),
        ("a", "h" * 5000 + ":1", None, r"address: 'h{57}\.\.\.': it is not an address"),
        ("a\n", "a:1", None, "name: "),
        ("a", "a", None, "address: 'a': it is not an address; give HOST:PORT"),
        ("a", "a:70000", None, "address: 'a:70000': port 70000 is beyond 65535"),
        ("a", "a:1", 0.0, "ttl: 0.0; give a time in seconds above 0"),
        ("a", "a:1", float("nan"), "ttl: nan"),
    ],
)
def test_what_cannot_be_put_is_refused(
    name: str, address: str, ttl: float | None, message: str
) -> None:
    registry = Registry()
    with pytest.raises(UsageError, match=message):
        registry.put(name, address, {}, 0.0, ttl)
    assert names(registry) == []


def test_an_address_that_another_has_is_refused_until_that_one_is_gone() -> None:
    registry = Registry()
    registry.put("a", "h:1", {}, 0.0, ttl=10.0)
    with pytest.raises(TakenError, match="h:1 is that of a already; delete a first"):
        registry.put("b", "h:1", {}, 5.0)
    assert names(registry) == ["a"]
    assert not registry.put("a", "h:1", {"gpu": "l4"}, 5.0, ttl=10.0)
    assert registry.put("b", "h:1", {}, 15.0)  # a is over, though nothing has removed it yet
    assert registry.put("c", "h:2", {}, 15.0)
    with pytest.raises(TakenError, match="that of b"):
        registry.put("c", "h:1", {}, 15.0)


def test_memory_is_bounded() -> None:
    registry = Registry([Endpoint(f"e{i}", f"a:{i + 1}") for i in range(MOST)])
    with pytest.raises(UsageError, match=f"there are {MOST} backends already"):
        registry.put("one more", "z:1", {}, 0.0)
    assert not registry.put("e0", "b:1", {}, 0.0)  # one that is there may change


def test_changes_and_ends_are_reported_when_they_happen() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        source = RegistrySource(None, loop.time)
        async with Running(source) as reports:
            await asyncio.sleep(1.0)
            source.put("a", "a:1", {}, ttl=5.0)
            source.put("b", "b:1", {})
            await asyncio.sleep(1.0)
            source.delete("b")
            await asyncio.sleep(100.0)
        assert reports.said == [(0.0, []), (1.0, ["a", "b"]), (2.0, ["a"]), (6.0, [])]

    run_virtually(scenario())


def test_a_file_keeps_what_has_no_time_to_live(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "kept.json"
        source = RegistrySource(file, lambda: 0.0)
        source.put("a", "a:1", {"gpu": "h100"})
        source.put("b", "b:1", {}, ttl=5.0)
        source.put("c", "c:1", {})
        source.delete("c")
        after = await RegistrySource(file, lambda: 0.0).once()
        assert [(it.name, it.address, it.labels["gpu"]) for it in after] == [("a", "a:1", "h100")]
        assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
        file.write_text("[")
        with pytest.raises(SourceError, match=r"kept.json: is neither JSON nor YAML"):
            RegistrySource(file, lambda: 0.0)

    asyncio.run(scenario())


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        source = RegistrySource(tmp_path / "missing" / "kept.json", lambda: 0.0)
        with pytest.raises(SourceError, match=r"kept.json: cannot be written: No such file"):
            source.put("a", "a:1", {})
        assert [it.name for it in await source.once()] == ["a"]

    asyncio.run(scenario())
