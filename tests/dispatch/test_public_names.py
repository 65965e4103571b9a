"""Tests of the scheduler use public names only, such as `Core.snapshot`."""

import ast
from pathlib import Path

# Public in spite of the underscore: of named tuples, `os` and `sys`.
PUBLIC = {"_asdict", "_fields", "_replace", "_make", "_exit", "_current_frames"}
OWN = {"self", "cls"}


def private(source: str) -> list[str]:
    """Fields with an underscore that are read of anything but the test's own object."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr not in PUBLIC
        and not (isinstance(node.value, ast.Name) and node.value.id in OWN)
    ]


def test_a_private_field_is_found() -> None:
    assert private("core._table.board; self._own; row._replace(a=1); x.__dict__") == ["core._table"]


def test_no_test_of_the_scheduler_reads_a_private_field() -> None:
    files = sorted(Path(__file__).parent.rglob("*.py"))
    assert len(files) > 20
    found = {file.name: names for file in files if (names := private(file.read_text("utf-8")))}
    assert found == {}
