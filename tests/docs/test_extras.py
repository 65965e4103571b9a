"""Each extra that a user may install stands in the table of the installation page."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What works on the project itself.
OWN = {"bench", "check", "deploy", "dev", "docs", "test"}


def test_the_page_names_each_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "start" / "install.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} == (
        set(project["optional-dependencies"]) - OWN
    )
