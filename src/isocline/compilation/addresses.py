"""Addresses of compiled functions, as arguments of kernels.

numba has such a type, but asks the function anew for its address at every call of the kernel, which
takes 4 us. Here the address is the value.
"""

from typing import Any, final

from numba import types
from numba.core import cgutils
from numba.core.sigutils import normalize_signature
from numba.core.typing import signature as numba_signature
from numba.experimental.function_type import FunctionModel
from numba.extending import NativeValue, register_model, typeof_impl, unbox


@final
class AddressType(types.FunctionType):  # type: ignore[misc]
    """numba's type of functions of one signature, passed as an address."""


register_model(AddressType)(FunctionModel)


@final
class Address(int):
    """Where the code of a function is; `function` keeps it there."""

    function: Any
    type: Any

    @classmethod
    def of(cls, function: Any, signature: Any) -> "Address":
        """The address of a numba CFunc."""
        made = cls(function.address)
        made.function = function
        arguments, result = normalize_signature(signature)
        made.type = AddressType(numba_signature(result, *arguments))
        return made


@typeof_impl.register(Address)  # type: ignore[untyped-decorator]
def _type_of(value: Address, _context: Any) -> Any:
    return value.type


@unbox(AddressType)  # type: ignore[untyped-decorator]
def _unboxed(kind: Any, value: Any, c: Any) -> Any:
    record = cgutils.create_struct_proxy(kind)(c.context, c.builder)
    record.c_addr = c.pyapi.long_as_voidptr(value)
    null = cgutils.get_null_value(record.c_addr.type)
    record.py_addr = record.jit_addr = null
    return NativeValue(record._getvalue())
