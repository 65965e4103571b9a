"""Modules of the user's own that travel with a pickled object, to be imported where it goes.

cloudpickle can send classes by value, but not what is compiled: numba knows a function by its
source. So modules go as sources.
"""

import importlib.util
import linecache
import pickle
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, final

from isocline.dispatch import pickling
from isocline.dispatch.submission.own_code import is_own_module


@final
class Source(NamedTuple):
    """Source of a module."""

    text: str
    file: str  # where it came from, for tracebacks
    is_package: bool


@final
class Carried:
    """Object whose pickle brings the user's modules along; it is unpickled as the object itself."""

    def __init__(self, value: Any) -> None:
        """Initialise, without pickling anything."""
        self.value = value

    def __reduce__(self) -> Any:
        pickled = pickling.dumps(self.value)
        return _restored, (pickled, own_modules(pickled))


def own_modules(pickled: bytes) -> dict[str, Source]:
    """Sources of all modules of the user's own, by name, if a pickle mentions one of them."""
    names = [name for name in tuple(sys.modules) if name != "__main__" and is_own_module(name)]
    if not any(name.encode() in pickled for name in names):
        return {}
    found = {name: _source(sys.modules[name]) for name in names if name in sys.modules}
    return {name: source for name, source in found.items() if source is not None}


def _source(module: ModuleType) -> Source | None:
    """Source of a loaded module; None if it has none, as extension modules."""
    loader = getattr(module, "__loader__", None)
    try:
        text = loader.get_source(module.__name__)  # type: ignore[union-attr]
    except (AttributeError, ImportError, OSError):
        return None
    if text is None:
        return None
    return Source(text, str(module.__file__), hasattr(module, "__path__"))


_LOCK = threading.RLock()


def _restored(pickled: bytes, sources: Mapping[str, Source]) -> Any:
    with _LOCK:
        _FINDER.add(sources)
        return pickle.loads(pickled)


@final
class _Loader(InspectLoader):
    """Loader of one module from its source."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:  # noqa: ARG002
        return self._source.text

    def is_package(self, fullname: str) -> bool:  # noqa: ARG002
        return self._source.is_package

    def exec_module(self, module: ModuleType) -> None:
        text, file = self._source.text, self._file()
        linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
        module.__file__ = file
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)

    def _file(self) -> str:
        """File of the module; not that of another text, under which numba may have kept code."""
        file = self._source.file
        try:
            here = Path(file).read_bytes().decode() == self._source.text
        except (OSError, UnicodeDecodeError):
            here = False
        return file if here else f"<sent>{file}"


@final
class _Finder(MetaPathFinder):
    """Finder of modules that were carried here."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}

    def add(self, sources: Mapping[str, Source]) -> None:
        """Have modules imported from these sources, in place of others of their names.

        Those that are loaded are kept if none has changed: this may be the user's own process. Else
        all make way, as one may have what it uses from another.
        """
        if all(self._is_here(name, source) for name, source in sources.items()):
            return
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._sources |= sources
        for name in sources:
            sys.modules.pop(name, None)

    def _is_here(self, name: str, source: Source) -> bool:
        loaded = sys.modules.get(name)
        found = self._sources.get(name) if loaded is None else _source(loaded)
        return found is not None and found.text == source.text

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        source = self._sources.get(fullname)
        if source is None:
            return None
        return importlib.util.spec_from_loader(
            fullname, _Loader(source), origin=source.file, is_package=source.is_package
        )


_FINDER = _Finder()
