"""Names of log events: all that the router and its planes log are in the page's table."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = ("gateway", "planes")


def test_every_event_of_the_log_is_in_its_table() -> None:
    logged = {
        name
        for place in PLACES
        for file in sorted((ROOT / "src/isocline" / place).rglob("*.py"))
        for name in re.findall(r'\bevent\(\s*"([a-z_.]+)"', file.read_text())
    }
    assert "reload.failed" in logged
    page = (ROOT / "docs/serve.md").read_text()
    section = page.partition("### The log\n")[2].partition("\n### ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([a-z_.]+)`", row)}
    assert logged <= listed, sorted(logged - listed)
