"""The examples of docs/discovery.md are files that can be used."""

import re
from pathlib import Path

import pytest

from isocline.gateway.discovery.target_lists import parsed
from isocline.model.systemfile.filled import samples
from isocline.model.systemfile.serving import load_served

PAGE = (Path(__file__).parents[3] / "docs/discovery.md").read_text()
FILES = re.findall(r"```yaml\n(kind: routing\n.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", FILES)
def test_system_files_can_be_served(tmp_path: Path, text: str) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    entries = load_served(file).entries
    found = samples(entries, 2)
    served = load_served(file, found)
    assert len(served.entries.backends) == sum(map(len, found.values()))
    assert served.notes == ()
    assert all(served.system.graph.neighbours(f).size for f in range(served.system.graph.sources))


def test_there_is_an_example_of_each_source() -> None:
    for source in ("dns", "files", "kubernetes", "admin"):
        assert any(f"    {source}: {{" in text for text in FILES)


def test_the_list_of_targets_is_read() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert [it.name for it in parsed(text, "page")] == ["10.0.0.5:8000", "10.0.0.6:8000", "l4-a"]
