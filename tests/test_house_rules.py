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


# Concrete classes that others extend (the last one only for now); all else is abstract, or final.
OPEN = {
    "isocline.cli._options.Verb",
    "isocline.emulator.answer.Answer",
    "isocline.emulator.generation.Generation",
    "isocline.emulator.sharing.Job",
    "isocline.event_loop.alarm.CoarseAlarm",
    "isocline.gateway.memo.Memo",
    "isocline.help_page.HelpPage",
    "isocline.model.systemfile.schema.Deterministic",
    "isocline.model.systemfile.schema.Exponentially",
    "isocline.model.systemfile.schema.Hyperexponential",
    "isocline.model.systemfile.schema.Lognormal",
    "isocline.model.systemfile.schema.TraceEntry",
    "isocline.simulate.routing.abandonment_engine.AbandonmentEngine",
    "isocline.simulate.routing.engines.JobEngine",
    "isocline.simulate.routing.engines.ListEngine",
    "isocline.simulate.routing.engines.ShareEngine",
    "isocline.simulate.routing.engines.TrackEngine",
    "isocline.theory.routing.inclusion._Integration",
}
# Of these Python makes no others anyway, or they are contracts.
CLOSED = {"ABC", "Enum", "IntEnum", "NamedTuple", "Protocol", "StrEnum", "TypedDict"}


def last_name(node: ast.expr) -> str:
    """Last part of a name, without arguments or type parameters."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def is_abstract_or_final(node: ast.ClassDef) -> bool:
    bases = {last_name(base) for base in node.bases}
    methods = [it for it in node.body if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)]
    marks = {last_name(mark) for it in (node, *methods) for mark in it.decorator_list}
    return bool(bases & CLOSED) or not marks.isdisjoint({"final", "abstractmethod"})


def is_exception(node: ast.ClassDef) -> bool:
    return any(last_name(base).endswith(("Error", "Exception")) for base in node.bases)


def test_a_class_is_abstract_or_final() -> None:
    classes = {
        f"{name}.{node.name}": node
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not is_exception(node)
    }
    found = {name for name, node in classes.items() if not is_abstract_or_final(node)}
    assert not found - OPEN, "mark them @final, or abstract (ABC)"


def test_the_rule_about_classes_finds_one_that_is_neither() -> None:
    open_class, final, abstract, record = ast.parse(
        "class A:\n  pass\n"
        "@final\n@dataclass(frozen=True)\nclass B(A):\n  pass\n"
        "class C:\n  @property\n  @abstractmethod\n  def name(self): ...\n"
        "class D(typing.NamedTuple):\n  x: int\n"
    ).body
    assert isinstance(open_class, ast.ClassDef)
    assert not is_abstract_or_final(open_class)
    for closed in (final, abstract, record):
        assert isinstance(closed, ast.ClassDef)
        assert is_abstract_or_final(closed)
