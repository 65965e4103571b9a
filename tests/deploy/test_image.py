"""The Dockerfile: what it copies is there, and its commands are ones that the router takes."""

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from click.testing import CliRunner

from isocline.cli import main
from tests.cli.served import served
from tests.deploy.promql import DEPLOY
from tests.deploy.tools import run, tool
from tests.gateway.proxies import refusing_port

ROOT = DEPLOY.parent
FILE = DEPLOY / "Dockerfile"
TEXT = re.sub(r"\\\n\s*", "", FILE.read_text())  # an instruction is one line


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", TEXT, re.MULTILINE)


def words(name: str) -> list[str]:
    """Words of the last instruction of this name, in its exec form."""
    found: list[str] = json.loads(instructions(name)[-1])
    return found


def test_hadolint_finds_nothing() -> None:
    done = run(tool("hadolint"), "--failure-threshold", "style", FILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_build_is_given_what_it_copies_and_no_more() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    given = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    copied = [
        source
        for copy in instructions("COPY")
        if not copy.startswith("--from")
        for source in copy.split()[:-1]
    ]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in given), source
    for pattern in given:
        assert any(fnmatch(source, pattern) for source in copied), pattern


def test_both_stages_are_of_one_python_that_the_locks_are_for() -> None:
    (python,) = re.findall(r"^ARG PYTHON=(.*)$", TEXT, re.MULTILINE)
    assert python in ("3.11", "3.12", "3.13")
    stages = [it.removesuffix(" AS build") for it in instructions("FROM")]
    assert stages == ["python:${PYTHON}-slim-${DEBIAN}"] * 2


def test_it_runs_without_rights() -> None:
    user, _, group = instructions("USER")[-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    # Kernels are looked for under the kind of processor that they were compiled for.
    assert TEXT.count("NUMBA_CPU_NAME=generic") == 2


def test_the_command_serves_a_file(tmp_path: Path) -> None:
    entry, command = words("ENTRYPOINT"), words("CMD")
    assert entry == ["isocline"]
    assert command[1] == "/etc/isocline/system.yaml"
    system = (DEPLOY / "compose/system.yaml").read_text()
    file = tmp_path / "system.yaml"
    file.write_text(system.replace("/var/lib/isocline", str(tmp_path)))
    done = CliRunner().invoke(main, [command[0], str(file), *command[2:], "--check"])
    assert done.exit_code == 0, done.output
    exposed = set(instructions("EXPOSE")[-1].split())
    assert exposed == {
        option.rpartition(":")[2] for option in command if option.startswith("0.0.0.0:")
    }


SYSTEM = """kind: routing
backends: [{name: gone, url: "http://127.0.0.1:9", curve: {type: hyperbolic, peak: 9, half: 3}}]
frontends: [{name: all, backends: ["*"]}]
serve: {listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
"""


def test_the_health_check_tells_a_router_that_answers_from_none(tmp_path: Path) -> None:
    (check,) = instructions("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    file = tmp_path / "system.yaml"
    file.write_text(SYSTEM)

    def healthy(port: int) -> bool:
        python, *arguments = (part.replace("9090", str(port)) for part in command)
        assert python == "python"
        return run(tool("python"), *arguments).returncode == 0

    with served(file) as router:
        port = int(router.wait_for(r"admin on http://127\.0\.0\.1:(\d+)")[1])
        assert healthy(port)
    with refusing_port() as port:
        assert not healthy(port)


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"ARG VERSION={project['version']}\n" in TEXT
    assert f'licenses="{project["license"]}"' in TEXT
