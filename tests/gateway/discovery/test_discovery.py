"""Sources that run together: when their endpoints change, what is logged, what a reload changes."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import final

import pytest

from isocline.errors import UsageError
from isocline.gateway.discovery import discovery as module
from isocline.gateway.discovery.discovery import Discovery, look
from isocline.gateway.discovery.merge import SETTLE
from isocline.gateway.discovery.source import Reports, Source, SourceError
from isocline.model.endpoint import Endpoint
from isocline.model.systemfile.discovery_schema import (
    AdminEntry,
    DiscoverEntry,
    FilesEntry,
    TemplateEntry,
)
from tests.virtual_time import run_virtually

HERE = Path()


def entry(name: str, path: str = "x", **more: object) -> DiscoverEntry:
    return DiscoverEntry.model_validate(
        {"name": name, "files": FilesEntry(paths=[path]), "hold_empty": 0.0} | more
    )


@final
class Scripted(Source):
    """Says what a test says, in steps: (pause before it, s; endpoints, a problem or a defect)."""

    def __init__(self, steps: Sequence[tuple[float, Sequence[str] | str | Exception]]) -> None:
        self._steps = list(steps)
        self.runs = 0

    async def once(self) -> Sequence[Endpoint]:
        pause, what = self._steps[0]
        await asyncio.sleep(pause)
        if isinstance(what, str):
            raise SourceError(what)
        assert not isinstance(what, Exception)
        return [Endpoint(name, f"{name}:1") for name in what]

    async def run(self, reports: Reports) -> None:
        self.runs += 1
        while self._steps:
            pause, what = self._steps.pop(0)
            await asyncio.sleep(pause)
            if isinstance(what, Exception):
                raise what
            if isinstance(what, str):
                reports.failed(what)
            else:
                reports.found([Endpoint(name, f"{name}:1") for name in what])
        await asyncio.Event().wait()


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, Scripted]:
    """Sources by the name of their entry."""
    made: dict[str, Scripted] = {}
    monkeypatch.setattr(module, "source_of", lambda entry, *_: made[entry.name])
    return made


@final
class Seen:
    """Endpoints at each change, with the time."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.changes: list[tuple[float, dict[str, list[str]]]] = []
        self.discovery = Discovery(self._changed, {}, loop.time)
        self._now = loop.time

    def _changed(self) -> None:
        found = {name: [it.name for it in them] for name, them in self.discovery.found.items()}
        self.changes.append((round(self._now(), 9), found))


def test_changes_of_all_sources_are_told_once_they_settle(sources: dict[str, Scripted]) -> None:
    sources["a"] = Scripted([(0.0, ["x"]), (10.0, ["x", "y"]), (10.0, []), (10.0, "down")])
    sources["b"] = Scripted([(0.02, ["z"]), (30.0, ["z"])])

    async def scenario() -> None:
        seen = Seen()
        seen.discovery.use([entry("a"), entry("b")], HERE)
        await asyncio.sleep(100.0)
        await seen.discovery.close()
        assert seen.changes == [
            (round(0.02 + SETTLE, 9), {"a": ["x"], "b": ["z"]}),
            (10.0 + SETTLE, {"a": ["x", "y"], "b": ["z"]}),
            (20.0 + SETTLE, {"b": ["z"]}),
        ]

    run_virtually(scenario())


def test_a_problem_is_logged_once_and_its_end_too(
    sources: dict[str, Scripted], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "isocline.serve.discovery")
    steps = [(0.0, ["x"]), (1.0, "no answer"), (1.0, "no answer"), (1.0, ["x"]), (1.0, ["x"])]
    sources["a"] = Scripted([*steps, (1.0, ["x", "y"])])

    async def scenario() -> None:
        seen = Seen()
        seen.discovery.use([entry("a")], HERE)
        await asyncio.sleep(100.0)
        await seen.discovery.close()
        assert [record.getMessage() for record in caplog.records] == [
            "discover a: 1 endpoint",
            "discover a: no answer; the last 1 endpoint stay",
            "discover a: works again: 1 endpoint",
            "discover a: 2 endpoints",
        ]

    run_virtually(scenario())


def test_a_source_that_raises_is_run_again_and_the_defect_is_told(
    sources: dict[str, Scripted],
) -> None:
    sources["a"] = Scripted([(0.0, ["x"]), (1.0, ValueError("ours")), (1.0, ["x", "y"])])

    async def scenario() -> None:
        told: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        seen = Seen()
        seen.discovery.use([entry("a")], HERE)
        await asyncio.sleep(100.0)
        await seen.discovery.close()
        assert told == ["ours"]
        assert [found for _, found in seen.changes] == [{"a": ["x"]}, {"a": ["x", "y"]}]

    run_virtually(scenario())


def test_a_reload_goes_on_with_sources_whose_settings_are_the_same(
    sources: dict[str, Scripted],
) -> None:
    sources["a"] = first = Scripted([(0.0, ["x"]), (10.0, ["x", "y"])])

    async def scenario() -> None:
        seen = Seen()
        seen.discovery.use([entry("a")], HERE)
        await asyncio.sleep(5.0)
        seen.discovery.use([entry("a", templates=[TemplateEntry(report="vllm")])], HERE)
        await asyncio.sleep(10.0)
        assert first.runs == 1
        sources["a"] = Scripted([(10.0, ["z"])])
        seen.discovery.use([entry("a", "another path")], HERE)
        await asyncio.sleep(5.0)
        assert seen.changes[-1][1] == {"a": ["x", "y"]}  # until the new source answers
        await asyncio.sleep(10.0)
        assert seen.changes[-1][1] == {"a": ["z"]}
        seen.discovery.use([], HERE)
        await asyncio.sleep(1.0)
        assert seen.changes[-1][1] == {}
        await seen.discovery.close()

    run_virtually(scenario())


def test_all_are_asked_at_once_and_one_that_does_not_answer_is_named(
    sources: dict[str, Scripted],
) -> None:
    sources["a"] = Scripted([(3.0, ["x"])])
    sources["b"] = Scripted([(3.0, "broken")])
    sources["c"] = Scripted([(100.0, ["y"])])

    async def scenario() -> None:
        began = asyncio.get_running_loop().time()
        found, problems = await look([entry("a"), entry("b"), entry("c")], HERE, 5.0)
        assert asyncio.get_running_loop().time() - began == 5.0
        assert found == {"a": (Endpoint("x", "x:1"),)}
        assert problems == {"b": "broken", "c": "no answer within 5 s"}

    run_virtually(scenario())


def test_only_entries_for_calls_take_calls(tmp_path: Path) -> None:
    async def scenario() -> None:
        discovery = Discovery(lambda: None, {})
        calls = DiscoverEntry(name="calls", admin=AdminEntry())
        discovery.use([entry("a", "x"), calls], tmp_path)
        discovery.registry("calls").put("x", "x:1", {})
        with pytest.raises(UsageError, match="'a' takes no calls; known: calls"):
            discovery.registry("a")
        discovery.use([], tmp_path)
        with pytest.raises(UsageError, match="the file has no such entry"):
            discovery.registry("calls")
        await discovery.close()

    asyncio.run(scenario())


def test_a_source_that_cannot_be_made_is_logged_and_the_others_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        (tmp_path / "kept.json").write_text("[")
        changed = asyncio.Event()
        discovery = Discovery(changed.set, {})
        broken = DiscoverEntry(name="broken", admin=AdminEntry(file="kept.json"))
        good = DiscoverEntry(name="good", admin=AdminEntry())
        discovery.use([broken, good], tmp_path)
        assert "discover broken: " in caplog.text
        discovery.registry("good").put("x", "x:1", {})
        await asyncio.wait_for(changed.wait(), 60.0)
        assert list(discovery.found) == ["good"]
        (tmp_path / "kept.json").unlink()
        discovery.use([broken, good], tmp_path)  # it is tried again
        discovery.registry("broken").put("y", "y:1", {})
        await discovery.close()

    asyncio.run(scenario())
