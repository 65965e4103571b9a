"""What the opt-in build compiles; `make compiled` builds it, and runs tests against it."""

import importlib
import tomllib
from pathlib import Path

import pytest

from isocline.gateway import hot_path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOOK = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
MODULES = [f"{package}.{name}" for package, names in HOOK["modules"].items() for name in names]


@pytest.mark.parametrize("module", MODULES)
def test_what_the_build_compiles_exists(module: str) -> None:
    assert (ROOT / "src" / f"{module.replace('.', '/')}.py").is_file()
    assert importlib.import_module(module).__spec__ is not None


def test_the_build_says_what_it_is() -> None:
    """All modules of the list are compiled, or none; which, `is_compiled` says."""
    files = [str(importlib.import_module(module).__file__) for module in MODULES]
    assert {not file.endswith(".py") for file in files} == {hot_path.is_compiled()}


def test_a_plain_install_needs_no_compiler() -> None:
    assert HOOK["enable-by-default"] is False
    assert PROJECT["build-system"]["requires"] == ["hatchling>=1.25"]


def test_the_compiler_is_the_checker() -> None:
    """What another mypy takes for right, mypyc may compile to something else."""
    [mypyc] = [it for it in HOOK["dependencies"] if it.startswith("mypy")]
    checker = [it for it in PROJECT["project"]["optional-dependencies"]["check"] if "mypy" in it]
    assert mypyc.replace("[mypyc]", "") in checker
