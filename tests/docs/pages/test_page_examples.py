"""What the pages show is what one gets: commands in a shell, Python in order, page by page.

Each page has a folder of its own with the repository's examples in it. Ports that pages name are
replaced by free ones, so that nothing else on the machine is in the way.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import PAGES, ROOT, Block, Command, agrees, before, blocks, commands

PORTS = ("8080", "9090", "9001", "9002", "9003")
TEXTS = {".md", ".yaml", ".py"}
RUN = {"console", "python"}


def runs(block: Block) -> bool:
    return block.language in RUN and not block.why_not


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(map(runs, blocks(page)))],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_examples_of_a_page(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("MPLBACKEND", "agg")
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    for file in (tmp_path / "examples").iterdir():
        if file.suffix in TEXTS:
            file.write_text(moved(file.read_text(), ports))
    # The name under which functions of a page are found: its own module, not that of the tests.
    names: dict[str, Any] = {"__name__": "__main__"}
    begun = False
    with ExitStack() as running:
        for block in blocks(page):
            text = moved(block.text, ports)
            if block.marker.startswith("file: "):
                Path(block.marker.removeprefix("file: ")).write_text(text)
            elif not runs(block):
                continue
            elif block.language == "python":
                if not begun:
                    exec(compile(before(page), str(page), "exec"), names)
                    begun = True
                exec(compile("\n" * block.line + text, str(page), "exec"), names)
            else:
                for command in commands(block):
                    there = Command(moved(command.text, ports), moved(command.shown, ports))
                    if there.text.endswith("&"):
                        running.enter_context(started(there, block))
                    else:
                        done(there, block)
    capfd.readouterr()


def free_ports(count: int) -> list[str]:
    """So many ports on which nobody listens.

    They are below those that the system gives to connections, and each process that runs tests has
    a hundred of its own: a port that is free now stays free until it is listened on.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    found: list[str] = []
    for port in range(20_000 + 100 * worker, 20_100 + 100 * worker):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(str(port))
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} of 100 ports are free")


def moved(text: str, ports: dict[str, str]) -> str:
    """A text with free ports in place of those that it names."""
    return re.sub(r"(?<=:)\d{4}\b", lambda found: ports.get(found[0], found[0]), text)


def done(command: Command, block: Block) -> None:
    """Run a command to its end, and hold its output to what is shown of it."""
    shell = ["bash", "-euo", "pipefail", "-c", command.text]
    ran = subprocess.run(shell, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, f"{block}: $ {command.text}\n{ran.stdout}{ran.stderr}"
    if command.shown:
        assert agrees(command.shown, ran.stdout), (
            f"{block}: $ {command.text}\nshown:\n{command.shown}\ngot:\n{ran.stdout}"
        )


@contextmanager
def started(command: Command, block: Block) -> Iterator[None]:
    """Run a command in the background, from when it says what is shown of it to the page's end."""
    log = Path(f"{time.monotonic_ns()}.log")
    with log.open("w") as file:
        shell = ["bash", "-c", f"exec {command.text.rstrip('& ')}"]
        process = subprocess.Popen(shell, stdout=file, stderr=file, start_new_session=True)
    try:
        wanted = f"...\n{command.shown.strip() or '...http://...'}\n..."
        deadline = time.monotonic() + 240.0
        while not agrees(wanted, log.read_text()):
            assert process.poll() is None, f"{block}: ended: {log.read_text()}"
            assert time.monotonic() < deadline, f"{block}: not {wanted!r} in {log.read_text()!r}"
            time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
