"""Programs that check files, installed by the extra `deploy`."""

import subprocess
import sys
from pathlib import Path

import pytest


def tool(name: str) -> str:
    """Path of a program beside Python; the test is skipped where there is none."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"needs {name}: pip install isocline[deploy]")
    return str(path)


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, with its output as text."""
    arguments = [str(part) for part in command]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
