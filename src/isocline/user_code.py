"""Import of a user's own classes and functions, named `package.module:name`."""

import dataclasses
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args

from isocline.arguments import kind_of, require
from isocline.errors import IsoclineError, UsageError

T = TypeVar("T")


def is_name(text: str) -> bool:
    """Whether `text` has the form `package.module:name`."""
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(map(str.isidentifier, module.split(".")))


def is_own(thing: object) -> bool:
    """Whether a class or function, compiled or not, is a user's and not of this package."""
    source: Any = thing
    if callable(thing) and not isinstance(thing, type):
        source = inspect.unwrap(thing)  # numba's callbacks wrap it
    return not str(getattr(source, "__module__", "isocline.")).startswith("isocline.")


def imported(noun: str, label: str, error: type[IsoclineError]) -> Any:
    """The object of this name; modules in the working directory are found, too.

    Args:
        noun: What it is to be, for messages: "policy".
        label: `package.module:name`.
        error: The class of error to raise.

    Raises:
        IsoclineError: Of the class `error`: there is no such module or name, or the module raises.
    """
    module_name, _, name = label.partition(":")
    _find_in_working_directory()
    try:
        module = importlib.import_module(module_name)
    except Exception as problem:
        raise error(
            f"{noun} {label}: cannot import {module_name}: {_in_one_line(problem)}"
        ) from problem
    if not hasattr(module, name):
        raise error(f"{noun} {label}: {module_name} has no {name}")
    return getattr(module, name)


def made(
    noun: str, label: str, base: type[T], given: Mapping[str, Any], error: type[IsoclineError]
) -> T:
    """An object of the user's class of this name, a subclass of `base`.

    Args:
        noun: As `imported`.
        label: As `imported`.
        base: What it must derive from.
        given: Arguments for the class.
        error: As `imported`.

    Raises:
        IsoclineError: Of the class `error`: as `imported`, or it is no such class, leaves a method
            out, or does not take these arguments. An IsoclineError of the class itself passes.
    """
    found = imported(noun, label, error)
    wanted = f"isocline.{base.__name__}"
    if not (isinstance(found, type) and issubclass(found, base)):
        raise error(f"{noun} {label} is no class that derives from {wanted}; see docs/own.md")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise error(f"{noun} {label} lacks {', '.join(missing)}, which every {wanted} has")
    signature = inspect.signature(found)
    try:
        signature.bind(**given)
    except TypeError as problem:
        names = ", ".join(signature.parameters) or "nothing"
        raise error(f"{noun} {label}: {problem}; it takes {names}") from None
    _require_kinds(f"{noun} {label}", found, given, error)
    try:
        return found(**given)
    except IsoclineError:
        raise
    except Exception as problem:
        raise error(f"{noun} {label}: {_in_one_line(problem)}") from problem


def _require_kinds(
    name: str, found: type, given: Mapping[str, Any], error: type[IsoclineError]
) -> None:
    """Raise `error` for a value that is none of the numbers which the class says that it takes."""
    try:
        parameters = inspect.signature(found, eval_str=True).parameters
    except (
        Exception
    ):  # an annotation that names what is not there: the class may be used all the same
        return
    for key, value in given.items():
        annotation = parameters[key].annotation if key in parameters else None
        wanted = set(get_args(annotation) or (annotation,))
        if not wanted <= {bool, int, float, NoneType}:
            continue
        try:
            require(f"{name}: {key}", value, kind_of(annotation))
        except UsageError as problem:
            raise error(str(problem)) from None


@contextmanager
def failures_of(
    name: str, error: type[IsoclineError], passing: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Raise what a user's code raises within as `error`, in one line that begins with `name`.

    Errors of this package, and those of a class in `passing`, go on as they are.
    """
    unchanged: tuple[type[Exception], ...] = (IsoclineError, *passing)
    try:
        yield
    except unchanged:
        raise
    except Exception as problem:
        raise error(f"{name}: {_in_one_line(problem)}") from problem


def value_of(text: str) -> bool | int | float | str:
    """The value of an option's word, as YAML would read it: true or false, a number, or itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def arguments(instance: object) -> dict[str, Any]:
    """The fields of a data class, and their values; nothing of another class."""
    if not dataclasses.is_dataclass(instance):
        return {}
    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}


def place(path: str, line: int) -> str:
    """`path:line`, short where the file is in the working directory."""
    file = Path(path)
    here = Path.cwd()
    return f"{file.relative_to(here) if file.is_relative_to(here) else file}:{line}"


def _find_in_working_directory() -> None:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _in_one_line(problem: Exception) -> str:
    """The problem, with the line of the user's code that it came from, where there is one."""
    said = str(problem) or type(problem).__name__
    if isinstance(problem, SyntaxError):
        return f"{problem.msg} ({place(problem.filename or '?', problem.lineno or 0)})"
    ours = str(Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if not frame.filename.startswith((ours, "<frozen")) and "importlib" not in frame.filename
    ]
    if isinstance(problem, ImportError) or not frames:
        return said
    return (
        f"{type(problem).__name__}: {said} ({place(frames[-1].filename, frames[-1].lineno or 0)})"
    )
