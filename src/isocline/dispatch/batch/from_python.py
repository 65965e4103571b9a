"""Job files in Python: a function, and the chunks for which to run it.

    chunks = ["part-0", "part-1"]                  # or a function that returns or yields them

    def run(chunk): ...                            # gets the value that `load` returns

and, optionally,

    nodes = {"a": "/disks/a", "b": "/disks/b"}     # directories; chunks are files in them
    locations = {"part-0": ["a"], ...}             # or a function of the chunk, or a source
    racks = {"a": "r1", "b": "r2"}

    def load(chunk): ...                           # by default bytes of the file, or the name
    def version(chunk): ...                        # by default size and time of the file, if one
    limit, retries, policy = 60.0, 2, "late_binding"
    copies = False                                 # tasks must not run twice at once
    resources = {"gpu": 1}                         # what each task needs of its node
    node_resources = {"gpu": 2}                    # what each node has, or such by node
    slots = 2                                      # worker processes of each node
    def combine(one, other): ...                   # makes one result of those of `run`
    arity, in_order = 8, True                      # it gets up to 8, and only neighbours
    engine, address = "dask", "127.0.0.1:8786"
"""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from isocline.dispatch.batch.spec import ENGINES, Batch
from isocline.dispatch.chunk_names import chunk_name
from isocline.dispatch.locations.node_directories import in_directories, node_directories
from isocline.dispatch.locations.source import Source, read_source
from isocline.dispatch.submission.chunk_locations import Locations, nodes_in
from isocline.dispatch.submission.versions import Files
from isocline.dispatch.user_code_guard import Caught, guarded, plain_text, shown, words
from isocline.errors import UsageError

# Prefix of the name under which the file is imported; no other module should have such a name.
_MODULE = "isocline_job_"
_WORDS = {
    Mapping: "a mapping",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
}


def python_batch(path: Path, locations: Source | None = None) -> Batch:
    """Read a job from a Python file; `locations` overrides its own.

    Raises:
        UsageError: The file fails, or lacks something; the message names the file and the remedy.
    """
    module = _imported(path)
    found = guarded(_batch, path, module, locations)  # users' objects may raise anything
    if not isinstance(found, Caught):
        return found
    if isinstance(found.error, UsageError):
        raise found.error
    raise _at_fault(path, "", found.error) from found.error


def _batch(path: Path, module: ModuleType, overriding: Source | None) -> Batch:
    function = _callable(path, module, "run")
    if function is None:
        raise UsageError(f"{path}: has no function run; add one: def run(chunk): ...")
    _require_one_argument(path, function)
    nodes = _nodes(path, module)
    if overriding is not None and nodes:
        raise UsageError(
            f"--locations: {path} has nodes with directories, where their chunks are; leave it out"
        )
    given = getattr(module, "locations", None) if overriding is None else overriding
    with _named_file(path):
        locations = in_directories(nodes) if nodes and given is None else _locations(path, given)
    chunks = getattr(module, "chunks", locations if isinstance(locations, Mapping) else None)
    return Batch(
        path.stem,
        function,
        _chunks(path, chunks),
        nodes=nodes or _named(path, locations),
        racks=_texts(path, module, "racks", "'n0': 'r1'"),
        locations=locations,
        everywhere=overriding is not None or isinstance(given, str),  # of data that is elsewhere
        loader=_callable(path, module, "load"),
        version=_callable(path, module, "version")
        or Files(*(nodes.values() or (Path(), path.parent))),
        limit=_checked(path, module, "limit", None, int, float),
        retries=_checked(path, module, "retries", 0, int),
        copies=_checked(path, module, "copies", True, bool),
        resources=_checked(path, module, "resources", None, Mapping),
        node_resources=_checked(path, module, "node_resources", None, Mapping),
        slots=_checked(path, module, "slots", 1, int),
        policy=_checked(path, module, "policy", None, str),
        engine=_engine(path, module),
        address=_checked(path, module, "address", None, str),
        **_reduction(path, module),
    )


def _reduction(path: Path, module: ModuleType) -> dict[str, Any]:
    """Return how results are combined, if they are."""
    found = {
        "combine": _callable(path, module, "combine"),
        "arity": _checked(path, module, "arity", None, int),
        "in_order": _checked(path, module, "in_order", False, bool),
    }
    if found["combine"] is None and (found["arity"] is not None or found["in_order"]):
        raise UsageError(
            f"{path}: arity and in_order say how results are combined; add a function combine(one, "
            "other), or leave them out"
        )
    return found


def _locations(path: Path, given: object) -> Locations | None:
    """Check locations; text is a source."""
    if isinstance(given, str):
        return read_source(given, path.parent)
    if given is None or isinstance(given, Mapping) or callable(given):
        return given
    raise UsageError(
        f"locations is {shown(given)}; give a mapping from chunks to lists of nodes, a function of "
        "the chunk, or a source such as 'csv:replicas.csv'"
    )


@contextmanager
def _named_file(path: Path) -> Iterator[None]:
    """Name the file in errors that do not."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _imported(path: Path) -> ModuleType:
    """Import the file as a module that is pickled by value, because workers cannot import it."""
    spec = importlib.util.spec_from_file_location(_MODULE + path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"{path}: does not exist; give the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent.absolute()))  # like `python FILE.py`
    found = guarded(spec.loader.exec_module, module)
    if isinstance(found, Caught):
        raise _at_fault(path, "", found.error) from found.error
    cloudpickle.register_pickle_by_value(module)
    return module


def _at_fault(path: Path, what: str, error: BaseException) -> UsageError:
    """Describe an error of the file's code; `what` names the place, followed by a space."""
    said = words(error)
    if not isinstance(error, Exception):
        said += "; a job file must not end the program"
    return UsageError(f"{_where(path, error)}: {what}{said}")


def _where(path: Path, error: BaseException) -> str:
    """Return the last line of the file that is in the error's traceback."""
    names = {str(path), str(path.absolute())}  # Python versions differ in which they use
    if isinstance(error, SyntaxError) and error.filename in names:
        return f"{path}:{error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename in names]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _callable(path: Path, module: ModuleType, name: str) -> Callable[..., Any] | None:
    found = getattr(module, name, None)
    if found is not None and not callable(found):
        raise UsageError(f"{path}: {name} is {shown(found)}; give a function")
    return found


def _require_one_argument(path: Path, function: Callable[..., Any]) -> None:
    """Refuse a `run` that cannot be called with only a chunk, if its signature is known."""
    signature = guarded(inspect.signature, function)
    if isinstance(signature, inspect.Signature):
        bound = guarded(signature.bind, None)
        if isinstance(bound, Caught) and isinstance(bound.error, TypeError):
            raise UsageError(
                f"{path}: run{signature} cannot be called with a chunk; write def run(chunk): ..."
            )
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(
            f"{path}: run is a coroutine or a generator; return a result from a plain function: "
            "def run(chunk): ..."
        )


def _checked(path: Path, module: ModuleType, name: str, otherwise: Any, *kinds: type) -> Any:
    found = getattr(module, name, otherwise)
    if found is not otherwise and not isinstance(found, kinds):
        raise UsageError(f"{path}: {name} is {shown(found)}; give {_WORDS[kinds[-1]]}")
    return found


def _engine(path: Path, module: ModuleType) -> str | None:
    found: str | None = _checked(path, module, "engine", None, str)
    if found is not None and found not in ENGINES:
        raise UsageError(f"{path}: engine is {shown(found)}; give one of {', '.join(ENGINES)}")
    return found


def _nodes(path: Path, module: ModuleType) -> dict[str, Path]:
    """Return the nodes' directories; relative paths start at the file's folder."""
    if isinstance(template := getattr(module, "nodes", None), str):
        with _named_file(path):
            return node_directories(template, path.parent)
    given = _texts(path, module, "nodes", "'n0': '/disks/0'", Path)
    return {name: path.parent / directory for name, directory in given.items()}


def _texts(path: Path, module: ModuleType, name: str, example: str, *kinds: type) -> dict[str, Any]:
    """Check a mapping from text to values of these types."""
    given = _checked(path, module, name, {}, Mapping)
    for key, value in given.items():
        if not isinstance(key, str) or not isinstance(value, (str, *kinds)):
            raise UsageError(
                f"{path}: {name} has {shown(key)}: {shown(value)}; give text for both, as: "
                f"{name} = {{{example}}}"
            )
    return {plain_text(key): value for key, value in given.items()}


def _named(path: Path, locations: Locations | None) -> list[str] | None:
    with _named_file(path):
        return nodes_in(locations) or None


def _chunks(path: Path, given: Any) -> Iterable[str]:
    """Yield the names of the chunks, each checked."""
    found = given
    if callable(given):
        found = guarded(given)
        if isinstance(found, Caught):
            raise _at_fault(path, "chunks() raises ", found.error) from found.error
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise UsageError(
            f"{path}: chunks is {shown(found)}; give a list of names: chunks = ['part-0', 'part-1']"
        )
    if isinstance(found, Iterator):
        return _names(path, found)
    return list(_names(path, found))


def _names(path: Path, chunks: Iterable[object]) -> Iterator[str]:
    end = object()
    chunk = names = guarded(iter, chunks)
    while not isinstance(names, Caught):
        chunk = guarded(next, names, end)
        if chunk is end:
            return
        if isinstance(chunk, Caught):
            break
        yield _name(path, chunk)
    assert isinstance(chunk, Caught)
    raise _at_fault(path, "chunks raises ", chunk.error) from chunk.error


def _name(path: Path, chunk: object) -> str:
    try:
        return chunk_name(chunk)
    except UsageError as error:
        raise UsageError(f"{path}: chunks: {error}") from None
