"""Compilation of functions by numba, with the same options and types everywhere.

Compiled once, kept on disk (`kernel_cache`), and run without the interpreter's lock, so that
replications use all cores. numba is imported only here and in files that hold compiled code; the
package and `isocline --help` never load them.

A cached function is recompiled when its own file changes, or one of those whose functions, records
or constants are compiled into it (`source_stamp`).
"""

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast, final

import numba
import numba.extending
from numba.core.ccallback import CFunc
from numba.core.registry import CPUDispatcher
from numba.core.sigutils import normalize_signature

from isocline.compilation.inner_code import InnerCompiler
from isocline.compilation.kernel_cache import DeferredCache, cache_of
from isocline.compilation.returned_values import CheckedCompiler, PlainCompiler
from isocline.compilation.source_stamp import stamp_of

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

# Division by zero gives inf as in C, not an exception: prices at full capacity are infinite.
# Inlining is said of each function. What is not said numba takes from whichever caller is compiled
# first, and keeps on disk for all others: the same simulation took 1.4 times as long, or 2.7 times
# under `gmsr_ahead`, on a machine where something else had called the policy before.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": False,
    "forceinline": False,
}
# Without numba's runtime an array is not reference-counted. Counting is an atomic instruction for
# each array in each call: it made a policy that takes 40 ns take 120.
_PLAIN: dict[str, Any] = _OPTIONS | {"_nrt": False}
# Part of other functions and of no other use: numba need not make it callable from elsewhere.
_INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_INLINABLE: dict[str, Any] = _PLAIN | {"forceinline": True}
_INLINE: dict[str, Any] = _INNER | {"forceinline": True}


def compiled(function: F) -> F:
    """Compile `function` at its first call, for the types it is called with."""
    return _made(function, _OPTIONS)


def inner(function: F) -> F:
    """`compiled`, for a function that only compiled functions call."""
    return _made(function, _OPTIONS | _INNER)


def kernel(function: F) -> F:
    """`compiled`, for a function that creates no arrays (slices of its arguments are free)."""
    return _made(function, _PLAIN)


def inlinable(function: F) -> F:
    """`kernel`, for a short function that other kernels inline, and that Python calls as well."""
    return _made(function, _INLINABLE)


def value_as(signature: Any) -> Callable[[F], F]:
    """`kernel` of one signature, for a function that kernels get as a value, and inline: a policy.

    A kernel compiled with such a function is cached under its identity. numba's own identity of a
    function is new in every process, so that no cached kernel would ever be found again; ours is
    its name and source. `tests/policies/test_caching.py` holds numba to this.
    """
    return lambda function: _declared(function, signature, _INLINABLE)


def inlined(function: F) -> F:
    """`kernel`, for a function that is always inlined into one.

    A call passes every array of a record as seven numbers. With the twenty arrays of a cluster that
    made an event seven times as slow, and the compiler does not inline such calls on its own.
    """
    return _made(function, _PLAIN | _INLINE)


def inlined_as(signature: Any) -> Callable[[F], F]:
    """`value_as`, for a function that is `inlined`."""
    return lambda function: _declared(function, signature, _PLAIN | _INLINE)


def _is_inner(options: dict[str, Any]) -> bool:
    """Whether a function with these options is part of its callers only: see `inner_code`."""
    return "no_cpython_wrapper" in options


def _compiler(options: dict[str, Any]) -> type[CheckedCompiler]:
    return InnerCompiler if _is_inner(options) else PlainCompiler


def _made(function: F, options: dict[str, Any]) -> F:
    made = numba.njit(pipeline_class=_compiler(options), **options)(function)
    if not _is_inner(options):
        made._cache = DeferredCache(function)  # as `enable_caching` does, with numba's own
    return cast(F, made)


def identity(function: Any) -> str:
    """The name of a function, and a digest of its source and of all that is compiled into it."""
    described = inspect.getsource(function) + stamp_of(function)
    found = hashlib.sha256(described.encode()).hexdigest()
    return f"{function.__module__}.{function.__qualname__}:{found}"


@final
class Declared(CPUDispatcher):  # type: ignore[misc]
    """A function of one signature, compiled when it is first needed and not at its definition.

    A kernel that is loaded has its policies inside. Compiling every policy at its import, as numba
    does with a signature, made each start load, and the first one compile, forty functions for one.
    """

    def __init__(self, function: Any, options: dict[str, Any], signature: Any):
        super().__init__(
            function,
            targetoptions=options | {"nopython": True, "boundscheck": None},
            pipeline_class=_compiler(options),
        )
        self._declared = signature
        self._options = options
        if not _is_inner(options):
            self._cache = DeferredCache(function)

    @property
    def is_inner(self) -> bool:
        """Whether it is only ever a part of kernels."""
        return _is_inner(self._options)

    @property
    def signature(self) -> Any:
        """As it was declared."""
        return self._declared

    @functools.cached_property
    def _uuid(self) -> str:
        """The identity of the function for numba, made on first use: sources are slow to find."""
        found = identity(self.py_func)
        self._set_uuid(found)
        return found

    @functools.cached_property
    def _numba_type_(self) -> Any:
        """The type of this function alone.

        numba's own property makes it anew at every call that is given the function, which takes as
        long as 200 events of a simulation.
        """
        return numba.types.Dispatcher(self)

    def _reduce_states(self) -> dict[str, Any]:
        """Pickled as a part of the key under which a kernel that has it inside is kept."""
        return {
            "uuid": self._uuid,
            "function": self.py_func,
            "options": self._options,
            "signature": self._declared,
        }

    @classmethod
    def _rebuild(cls, uuid: str, function: Any, options: dict[str, Any], signature: Any) -> Any:
        if uuid in cls._memo:
            return cls._memo[uuid]
        defined = getattr(sys.modules.get(function.__module__), function.__qualname__, None)
        if isinstance(defined, cls) and defined._uuid == uuid:  # used for the first time
            return defined
        made = cls(function, options, signature)
        made._uuid = uuid
        made._set_uuid(uuid)
        return made

    def _prepared(self) -> None:
        if self._can_compile:
            self.compile(self._declared)
            self.disable_compile()

    def get_call_template(self, args: Any, kws: Any) -> Any:
        self._prepared()
        return super().get_call_template(args, kws)

    def get_compile_result(self, sig: Any) -> Any:
        self._prepared()
        return super().get_compile_result(sig)

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        """What numba is to call where it has no code for these arguments: it looks once more."""
        if not self._can_compile:
            return super()._compile_for_args(*args, **kws)
        self._prepared()
        return self


def _declared(function: F, signature: Any, options: dict[str, Any]) -> F:
    if numba.config.DISABLE_JIT:  # as `numba.njit` does: the function itself
        return function
    return cast(F, Declared(function, options, signature))


def by_address(
    signature: Any, *, cached: bool = True, plain: bool = False, code_of: Any = None
) -> Callable[[Any], Any]:
    """Compile at once, or load, a function that kernels call by address.

    `plain`: it creates no arrays, as a `kernel`. `code_of` is the function as whose its code is
    kept on disk, if it only calls that one.
    """

    def made(function: Any) -> Any:
        if numba.config.DISABLE_JIT:
            return function
        options: dict[str, Any] = {"error_model": "numpy", "fastmath": False}
        options |= {"_nrt": False, "forceinline": True} if plain else {"forceinline": False}
        callback: Any = CFunc(
            function, normalize_signature(signature), {}, options, pipeline_class=PlainCompiler
        )
        if cached:
            callback._cache = cache_of(function if code_of is None else code_of)
        callback.compile()
        return callback

    return made


def stands_for(kind: type[T], type_of: Callable[[T], Any]) -> None:
    """Have numba take objects of a class for a type of its own."""
    numba.extending.typeof_impl.register(kind)(lambda value, _context: type_of(value))


def type_of_dispatcher(function: Any) -> Any:
    """Numba's type of a compiled function, of which there is one each."""
    return numba.types.Dispatcher(function)


def type_of_function(signature: str) -> Any:
    """Numba's type of functions that are called by address."""
    arguments, result = normalize_signature(signature)
    return numba.types.FunctionType(numba.core.typing.signature(result, *arguments))


def array_of(dtype: Any, dimensions: int = 1) -> Any:
    """The type of a C-contiguous array, for signatures."""
    return numba.types.Array(dtype, dimensions, "C")


def record_of(record: type[Any], *fields: Any) -> Any:
    """The type of a NamedTuple whose fields have these types, for signatures."""
    numba_types: Any = numba.types
    if len(set(fields)) == 1:  # numba takes a tuple of equal types for another kind of tuple
        return numba_types.NamedUniTuple(fields[0], len(fields), record)
    return numba_types.NamedTuple(list(fields), record)


def one_type(record: type[T]) -> type[T]:
    """Mark a NamedTuple whose instances all have fields of the same types.

    numba asks a record that holds a function for the type of every field at every call: 12 us for
    an array, most of the time of a small level flow. Of these it asks the first instance only, and
    finds the type on the class from then on.
    """

    def type_of(value: Any, context: Any) -> Any:
        if not hasattr(record, _TYPE):
            fields = [numba.extending.typeof_impl(field, context) for field in value]
            make: Any = numba.types.BaseTuple.from_types
            setattr(record, _TYPE, make(fields, record))
        return getattr(record, _TYPE)

    numba.extending.typeof_impl.register(record)(type_of)
    return record


_TYPE = "_numba_type_"  # numba's own protocol
