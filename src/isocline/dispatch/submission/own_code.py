"""Detection of the user's own code, as opposed to installed packages and the standard library."""

import dis
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import cloudpickle

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


class Used(NamedTuple):
    """Names that code uses, including functions inside it."""

    read: frozenset[str]  # globals
    mentioned: frozenset[str]  # globals and attributes
    imported: frozenset[tuple[str, int]]  # modules by name, and number of packages up from its own


def is_own_module(name: str | None) -> bool:
    """Whether a module is part of the user's program.

    It is if workers get it by value, or if it lies outside the directories of installed packages,
    as packages in editable installations do.
    """
    if name is None:
        return False
    if name == "__main__" or any(
        name == each or name.startswith(f"{each}.")
        for each in cloudpickle.list_registry_pickle_by_value()
    ):
        return True
    root = name.partition(".")[0]
    if root == "isocline" or root in sys.stdlib_module_names:
        return False
    if name not in sys.modules:
        return True  # created by the program itself
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and _INSTALLED.isdisjoint(Path(file).parts)


def home(value: Any) -> str | None:
    """Module in which a function or class was defined, which `functools.wraps` hides."""
    if type(value) is FunctionType:
        return value.__globals__.get("__name__") or value.__module__
    return getattr(value, "__module__", None)


def is_nested(value: Any) -> bool:
    """Whether a function or class was defined inside a function, so that it cannot be imported."""
    return "<locals>" in value.__qualname__ or "<lambda>" in value.__qualname__


@lru_cache(4096)
def used(code: CodeType) -> Used:
    """Return the names that code uses."""
    read, imported = set(), set()
    level, module = 0, ""
    for step in dis.get_instructions(code):
        if step.opname in _READS:
            read.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            module = step.argval
            imported.add((module, level))
        elif step.opname == "IMPORT_FROM":  # the name may be a module, too
            imported.add((f"{module}.{step.argval}".strip("."), level))
        # A relative import first loads the number of packages to go up.
        elif step.opname in ("LOAD_CONST", "LOAD_SMALL_INT") and type(step.argval) is int:
            level = step.argval
    mentioned = set(code.co_names)
    for inner in _inner(code):
        found = used(inner)
        read |= found.read
        mentioned |= found.mentioned
        imported |= found.imported
    return Used(frozenset(read), frozenset(mentioned), frozenset(imported))


def imported_code(code: CodeType, package: str | None) -> Iterator[tuple[str, CodeType]]:
    """Return the user's modules that code imports when it runs, and those that they import.

    Modules are read and compiled, because they may be imported only in workers.
    """
    seen: set[str] = set()
    waiting = [(name, level, package) for name, level in sorted(used(code).imported)]
    while waiting:
        name, level, package = waiting.pop()
        absolute = _absolute(name, level, package)
        if absolute in seen:
            continue
        seen.add(absolute)
        path = _path(absolute)
        try:
            if path is None:
                continue
            found = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError, OSError):  # the task itself will report the error
            continue
        yield absolute, found
        inside = absolute if path.name == "__init__.py" else absolute.rpartition(".")[0]
        waiting += [(name, level, inside) for name, level in sorted(used(found).imported)]


def _absolute(name: str, level: int, package: str | None) -> str:
    if not level:
        return name
    base = (package or "").rsplit(".", level - 1)[0]
    return f"{base}.{name}".strip(".")


def _path(name: str) -> Path | None:
    """Find the file of a user's module without importing anything; None if there is none."""
    root, *rest = name.split(".")
    if root == "isocline" or root in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):  # it was imported in another way
        return None
    if spec is None:
        return None
    paths = [Path(spec.origin or "")]
    folders = [Path(each) for each in spec.submodule_search_locations or ()]
    for part in rest:
        paths = [
            folder / end for folder in folders for end in (f"{part}.py", f"{part}/__init__.py")
        ]
        folders = [folder / part for folder in folders]
    return next((path for path in paths if _is_own_file(path)), None)


def _is_own_file(path: Path) -> bool:
    return path.suffix == ".py" and _INSTALLED.isdisjoint(path.parts) and path.is_file()


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (each for each in code.co_consts if type(each) is CodeType)
