"""Notebooks are kept without what they print, so that a change of one can be read."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_has_no_outputs_and_stands_on_the_page(file: Path) -> None:
    cells = json.loads(file.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert "".join(cells[0]["source"]).startswith("# ")
    page = (ROOT / "docs/notebooks/index.md").read_text()
    assert f"(../../examples/notebooks/{file.name})" in page
