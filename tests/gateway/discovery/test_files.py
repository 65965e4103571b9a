"""The source `files`: replaced in every way, half written, broken, gone; and the form of lists."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from isocline.gateway.discovery.files import FilesSource
from isocline.gateway.discovery.source import SourceError
from isocline.gateway.discovery.target_lists import parsed, written
from isocline.model.endpoint import Endpoint
from isocline.model.systemfile.discovery_schema import FilesEntry
from tests.gateway.discovery.reports import Running


def source(folder: Path, *paths: str) -> FilesSource:
    return FilesSource(FilesEntry(paths=list(paths or ("t.json",)), every=0.01), folder)


def listed(*targets: str) -> str:
    return json.dumps([{"targets": targets}])


def looked(source: FilesSource) -> list[str]:
    """Endpoints once nothing changes any more."""
    for _ in range(2):
        source.look()
    return [it.name for it in source.endpoints()]


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def renamed(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


def away_and_anew(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)


def linked(path: Path, text: str) -> None:
    """As Kubernetes' ConfigMaps: path -> data/t.json, data -> a folder that is exchanged."""
    folder = path.parent
    version = folder / f"version-{len(list(folder.glob('version-*')))}"
    version.mkdir()
    (version / path.name).write_text(text)
    draft = folder / "data-draft"
    draft.symlink_to(version.name)
    draft.replace(folder / "data")
    if not path.is_symlink():
        path.unlink(missing_ok=True)
        path.symlink_to(Path("data") / path.name)


@pytest.mark.parametrize("write", [in_place, renamed, away_and_anew, linked])
def test_a_file_may_be_replaced_in_every_way(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    path, watched = tmp_path / "t.json", source(tmp_path)
    write(path, listed("a:1"))
    assert looked(watched) == ["a:1"]
    write(path, listed("b:1"))  # of the same length
    assert looked(watched) == ["b:1"]
    write(path, listed("b:1", "c:1"))
    assert looked(watched) == ["b:1", "c:1"]
    write(path, "[]")
    assert looked(watched) == []
    assert watched.problems() == []


def test_what_is_half_written_or_wrong_keeps_the_last_good_list(tmp_path: Path) -> None:
    path, watched = tmp_path / "t.json", source(tmp_path)
    path.write_text(listed("a:1", "b:1"))
    assert looked(watched) == ["a:1", "b:1"]
    whole = listed("c:1", "d:1", "e:1")
    for length in range(len(whole)):
        path.write_text(whole[:length])
        assert looked(watched) == ["a:1", "b:1"]
        assert len(watched.problems()) == 1
    path.write_text(whole)
    assert looked(watched) == ["c:1", "d:1", "e:1"]
    assert watched.problems() == []


def test_a_file_that_is_being_written_is_not_read_before_it_stands_still(tmp_path: Path) -> None:
    """Half of a YAML list is a list, too."""
    path, watched = tmp_path / "t.yaml", source(tmp_path, "t.yaml")
    text = "- targets: ['a:1']\n- targets: ['b:1']\n"
    path.write_text(text)
    assert looked(watched) == ["a:1", "b:1"]
    path.write_text("- targets: ['c:1']\n")
    assert not watched.look()
    path.write_text("- targets: ['c:1']\n- targets: ['d:1']\n")
    assert not watched.look()
    assert [it.name for it in watched.endpoints()] == ["a:1", "b:1"]
    assert watched.look()
    assert [it.name for it in watched.endpoints()] == ["c:1", "d:1"]


def test_a_file_that_is_gone_keeps_its_targets_unless_a_pattern_led_to_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(listed("a:1"))
    (tmp_path / "b.json").write_text(listed("b:1"))
    watched = source(tmp_path, "a.json", "b*.json")
    assert looked(watched) == ["a:1", "b:1"]
    (tmp_path / "a.json").unlink()
    assert looked(watched) == ["a:1", "b:1"]
    (problem,) = watched.problems()
    assert "a.json: cannot be read; is it there?" in problem
    (tmp_path / "b.json").unlink()
    assert looked(watched) == ["a:1"]
    (tmp_path / "b2.json").write_text(listed("c:1"))
    assert looked(watched) == ["a:1", "c:1"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    watched = source(tmp_path, "*.json")
    assert looked(watched) == []
    assert watched.problems() == [f"no file matches {tmp_path}/*.json"]
    (tmp_path / "t.json").write_bytes(b"\xff\xfe")
    assert looked(watched) == []
    assert watched.problems() == [f"{tmp_path}/t.json: cannot be read: it is not UTF-8"]


def test_once_needs_a_list(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is it there"):
        asyncio.run(source(tmp_path).once())
    (tmp_path / "t.json").write_text(listed("a:1"))
    assert asyncio.run(source(tmp_path).once()) == [Endpoint("a:1", "a:1")]


def test_changes_are_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "t.json"
        async with Running(source(tmp_path)) as reports:
            await reports.failure("is it there?")
            renamed(path, listed("a:1"))
            await reports.until(["a:1"])
            in_place(path, "[")
            await reports.failure("is neither JSON nor YAML")
            assert [it.name for it in reports.last] == ["a:1"]
            renamed(path, listed("b:1"))
            await reports.until(["b:1"])

    asyncio.run(scenario())


def test_labels_go_to_all_targets_of_a_group() -> None:
    text = """
- targets: ["10.0.0.1:80", "[::1]:80"]
  labels: {zone: no, big: true, gpus: 8}
- targets: ["10.0.0.2:80"]
  labels: {name: h100}
- targets: ["10.0.0.1:80"]
  labels: {zone: other}
"""
    labels = {"zone": "no", "big": "true", "gpus": "8"}
    assert parsed(text, "t") == [
        Endpoint("10.0.0.1:80", "10.0.0.1:80", labels),
        Endpoint("[::1]:80", "[::1]:80", labels),
        Endpoint("h100", "10.0.0.2:80", {"name": "h100"}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t: is not a list; give a list of {targets: "),
        ("{}", "t: is not a list"),
        ("[1]", r"t: \[0\]: is not {targets, labels}"),
        ("[{targets: []}, {target: []}]", r"t: \[1\]: is not {targets, labels}"),
        ("[{targets: a}]", r"t: \[0\].targets: is not a list"),
        ("[{}]", r"t: \[0\].targets: is not a list"),
        ("[{targets: [], labels: [a]}]", r"t: \[0\].labels: is not a mapping"),
        ("[{targets: [a]}]", r"t: \[0\].targets\[0\]: 'a': it is not an address; give HOST:PORT"),
        ("[{targets: ['a:70000']}]", "'a:70000': port 70000 is beyond 65535"),
        (f"[{{targets: ['a:1'], labels: {{a: {'9' * 5000}}}}}]", "t: a number has 5,000 digits"),
        ("[{targets: ['a:1', 'http://b:1']}]", r"targets\[1\]: 'http://b:1': it is not an address"),
        ("[{targets: [80]}]", r"targets\[0\]: 80: it is not an address"),
        ("[{targets: ['a:1', 'b:1'], labels: {name: x}}]", "labels.name: names 2 targets"),
        (
            r'[{"targets": ["a:1"], "labels": {"name": "x\ny"}}]',
            r"\[0\].labels.name: 'x\\ny' is not a name",
        ),
        (r'[{"targets": ["a:1"], "labels": {"name": "\ud800"}}]', "labels.name: .* is not a name"),
        ("[", "t: is neither JSON nor YAML"),
        ("- !!python/object:os.system {}", "t: is neither JSON nor YAML"),
        ("[" * 5000, "t: is neither JSON nor YAML"),
    ],
)
def test_what_is_no_list_of_targets_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parsed(text, "t")


PRINTABLE = some.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" ")
NAMES = some.text(PRINTABLE, min_size=1, max_size=8)
ENDPOINTS = some.builds(
    Endpoint,
    NAMES,
    some.builds("10.0.0.{}:80".format, some.integers(0, 255)),
    some.dictionaries(
        NAMES.filter(lambda it: it != "name"), some.text("ab1: -", max_size=5), max_size=3
    ),
)


@given(some.lists(ENDPOINTS, unique_by=lambda it: it.name, max_size=4))
def test_what_is_written_is_read_as_it_was(endpoints: list[Endpoint]) -> None:
    found = parsed(written(endpoints), "t")
    assert [(it.name, it.address) for it in found] == [(it.name, it.address) for it in endpoints]
    for it, was in zip(found, endpoints, strict=True):
        assert it.labels == {**was.labels, "name": was.name}
