"""Rules of the house that no linter knows."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "isocline"


@functools.cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used"
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def not_below(kernel: str, imports: Iterator[str]) -> set[str]:
    """What a kernel imports of its own half of the product that is no kernel."""
    half = ".".join(kernel.split(".")[:2])
    return {name for name in imports if name.startswith(f"{half}.") and ".kernels" not in name}


def test_kernels_import_nothing_of_ours_above_them() -> None:
    kernels = {name: tree for name, tree in modules().items() if ".kernels." in name}
    assert len(kernels) > 20
    wrong = {
        name: found for name, tree in kernels.items() if (found := not_below(name, imported(tree)))
    }
    assert not wrong


def test_the_rule_about_kernels_finds_what_is_above() -> None:
    kernel = "isocline.simulate.routing.kernels.holding"
    names = ["isocline.randomness.draws", "isocline.simulate.common.kernels.counters", "numpy"]
    assert not not_below(kernel, iter(names))
    above = "isocline.simulate.routing.compare"
    assert not_below(kernel, iter([*names, above])) == {above}


def test_a_module_docstring_begins_with_a_noun_or_a_verb() -> None:
    dialect = re.compile(r"(What|Who|Whoever|Of|To|From)\b")
    first = {name: ast.get_docstring(tree) or "" for name, tree in modules().items()}
    assert not [name for name, text in first.items() if dialect.match(text)]
