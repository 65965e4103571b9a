"""Lock files satisfy pyproject.toml, agree with each other, and name no package index."""

import re
import subprocess
import sys
import tomllib
from itertools import groupby
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
SETS = {
    "demo": ["all"],
    "dev": ["dev"],
    "engines": ["dev", "dask", "ray", "ray-serve"],
    "bench": ["bench", "check", "deploy"],
}
IMAGE = ("build", "serve")  # what builds the image of the router, and what runs in it
PYTHONS = ["3.11.0", "3.12.0", "3.13.0"]

pytestmark = pytest.mark.skipif(
    not (ROOT / "requirements").is_dir(), reason="lock files are of a checkout"
)


def blocks(name: str) -> list[str]:
    """Each locked requirement with the lines of its hashes."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    number = 0
    numbered = []
    for line in lines:
        number += not line.startswith((" ", "#"))
        numbered.append((number, line))
    return [
        "\n".join(line for _, line in group) for n, group in groupby(numbered, lambda x: x[0]) if n
    ]


def locked(name: str, python: str) -> dict[str, Version]:
    here = {"python_full_version": python, "python_version": python[:4]}
    found: dict[str, Version] = {}
    for block in blocks(name):
        requirement = Requirement(block.split(" \\\n")[0])
        if requirement.marker is None or requirement.marker.evaluate(here):
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            found[canonicalize_name(requirement.name)] = Version(pin.version)
    return found


def wanted(extras: list[str]) -> list[Requirement]:
    """What pyproject.toml asks for with these extras, and to be built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    built = subprocess.run(
        [sys.executable, ROOT / "requirements" / "build.py"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [*project["dependencies"], *built.stdout.splitlines()]
    open_extras, seen = list(extras), set(extras)
    while open_extras:
        for line in project["optional-dependencies"][open_extras.pop()]:
            requirement = Requirement(line)
            if requirement.name == "isocline":
                open_extras += requirement.extras - seen
                seen |= requirement.extras
            else:
                lines.append(line)
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", SETS)
def test_a_lock_holds_what_pyproject_asks_for(name: str, python: str) -> None:
    have = locked(name, python)
    for requirement in wanted(SETS[name]):
        version = have.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement}: run make lock"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{requirement}: make lock"
        )


@pytest.mark.parametrize("python", PYTHONS)
def test_sets_are_parts_of_one_another(python: str) -> None:
    demo, dev, engines, bench = (locked(name, python).items() for name in SETS)
    assert demo <= dev <= engines <= bench
    for name in IMAGE:
        assert locked(name, python).items() <= demo


@pytest.mark.parametrize("python", PYTHONS)
def test_the_image_has_what_the_router_needs_and_what_builds_it(python: str) -> None:
    needed = wanted(["serve", "discover", "kv-events", "picker", "telemetry"])
    building = wanted([])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    here = {"python_version": python[:4], "python_full_version": python}
    runs, builds = (locked(name, python) for name in ("serve", "build"))
    tools = {it.name for it in building} - {Requirement(line).name for line in project}
    for requirement in needed:
        if requirement.marker is None or requirement.marker.evaluate(here):
            name = canonicalize_name(requirement.name)
            assert name in (builds if requirement.name in tools else runs), f"{name}: make lock"
    assert "mypy" not in runs


@pytest.mark.parametrize("name", [*SETS, *IMAGE])
def test_every_version_has_hashes_and_nothing_says_where_it_came_from(name: str) -> None:
    for block in blocks(name):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
