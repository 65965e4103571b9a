"""Arguments of a kernel that hardly ever change, kept in memory and passed as one address.

numba unpacks every array of a record anew at each call from Python. For the forty of the live
scheduler that took longer than most of its steps.
"""

from typing import Any, final

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from isocline.compilation.compiled import kernel

_SPACE = 1 << 14  # bytes


@final
class KeptType(types.Type):  # type: ignore[misc]
    """numba's type of an address at which a tuple of arguments of this `kind` is kept."""

    def __init__(self, kind: Any):
        self.kind = kind
        super().__init__(f"Kept({kind})")

    @property
    def key(self) -> Any:
        """Equality, for numba."""
        return self.kind


register_model(KeptType)(models.OpaqueModel)


@unbox(KeptType)  # type: ignore[untyped-decorator]
def _unboxed(_kind: Any, value: Any, c: Any) -> Any:
    return NativeValue(c.pyapi.long_as_voidptr(value))


@intrinsic  # type: ignore[untyped-decorator]
def kept(_context: Any, at: Any) -> Any:
    """Return the arguments that are kept at an address; kernels only."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = context.get_value_type(at.kind)
        return _load(builder, builder.bitcast(arguments[0], value.as_pointer()), value)

    return at.kind(at), code


@intrinsic  # type: ignore[untyped-decorator]
def _put(_context: Any, at: Any, kind: Any) -> Any:
    """Keep arguments at an address."""

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = context.get_value_type(kind)
        if context.get_abi_sizeof(value) > _SPACE:
            raise NotImplementedError(f"arguments of more than {_SPACE} bytes: {kind}")
        pointer = builder.bitcast(arguments[0], value.as_pointer())
        builder.store(arguments[1], pointer)
        return context.get_dummy_value()

    return types.void(at, kind), code


def _load(builder: Any, pointer: Any, kind: Any) -> Any:
    """Load each number on its own: the compiler drops those that are not used, but no records."""
    if not isinstance(kind, ir.LiteralStructType | ir.IdentifiedStructType | ir.ArrayType):
        return builder.load(pointer)
    parts = [kind.element] * kind.count if isinstance(kind, ir.ArrayType) else kind.elements
    value = ir.Constant(kind, ir.Undefined)
    for i, part in enumerate(parts):
        found = _load(builder, cgutils.gep_inbounds(builder, pointer, 0, i), part)
        value = builder.insert_value(value, found, i)
    return value


@kernel
def _keep(at: Any, arguments: Any) -> None:
    """Write the arguments to the address."""
    _put(at, arguments)


@final
class KeptArguments:
    """Place of a tuple of arguments: records, arrays and numbers.

    Attributes:
        address: Argument of kernels in their stead; valid as long as this object is.
        type: Its type, for signatures. In the kernel, `kept` returns the tuple.
    """

    def __init__(self, arguments: tuple[Any, ...]):
        self._space = np.zeros(_SPACE, np.uint8)
        self.address = int(self._space.ctypes.data)
        kind = numba.typeof(arguments)
        self.type = KeptType(kind)
        write: Any = _keep
        self._keep = write.compile((self.type, kind))
        self.replace(arguments)

    def replace(self, arguments: tuple[Any, ...]) -> None:
        """Keep others of the same types in their place."""
        self._arguments = arguments  # so that their arrays are not freed
        self._keep(self.address, arguments)
