"""Addresses of compiled functions, as arguments of kernels.

numba has such a type, but asks the function anew for its address at every call of the kernel, which
takes 4 us; here the address is the value. And every array of a record is passed as seven numbers or
nine: for the view of a cluster 33 ns a call, which is longer than most such functions take. Here
they get the address at which the record is kept (`kept_arguments`), and load what they read.
"""

from dataclasses import dataclass, replace
from typing import Any, final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.sigutils import normalize_signature
from numba.core.typing import signature as numba_signature
from numba.extending import (
    NativeValue,
    lower_builtin,
    models,
    register_model,
    typeof_impl,
    unbox,
)

from isocline.compilation.kept_arguments import KeptType


@final
class AddressType(types.Callable):  # type: ignore[misc]
    """numba's type of functions of one signature that are called by address.

    Attributes:
        signature: Signature for callers.
        record: The type of the one argument that callees get by its address.
        is_kept: Whether that address comes with the function's; else each call puts the record on
            the stack, which is several times as slow.
    """

    def __init__(self, signature: Any, record: Any, *, is_kept: bool):
        self.signature = signature
        self.record = record
        self.is_kept = is_kept
        where = "kept" if is_kept else "on the stack"
        super().__init__(f"Address({signature}, {record} {where})")

    def get_call_type(self, _context: Any, arguments: Any, named: Any) -> Any:
        """Signature of a call, for numba."""
        if named or len(arguments) != len(self.signature.args):
            raise TypeError(f"call by address with {arguments}, {named} of {self.signature}")
        return numba_signature(self.signature.return_type, *self.signature.args, recvr=self)

    def get_call_signatures(self) -> Any:
        """Possible signatures, for numba."""
        return [self.signature], False

    def get_impl_key(self, _signature: Any) -> Any:
        """Key of the implementation of calls, for numba."""
        return AddressType


@final
@register_model(AddressType)
class _AddressModel(models.StructModel):  # type: ignore[misc]
    """Two addresses: of the code, and of the record that it gets."""

    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, [("code", types.voidptr), ("record", types.voidptr)])


@final
@dataclass(frozen=True)
class Address:
    """Where the code of a function is, and the record that it is called with.

    Attributes:
        code: Address of the code.
        function: Function, kept here so that the code stays.
        type: numba's type.
        record: Address of a `KeptArguments` of the record alone, or 0 if there is none.
    """

    code: int
    function: Any
    type: AddressType
    record: int = 0

    @classmethod
    def of(cls, function: Any, signature: Any, record: Any) -> "Address":
        """The address of a numba CFunc that takes `by_record(signature, record)`."""
        arguments, result = normalize_signature(signature)
        kind = AddressType(numba_signature(result, *arguments), record, is_kept=False)
        return cls(function.address, function, kind)

    def with_record(self, record: int) -> "Address":
        """The same function, called with the record that is kept at an address."""
        kind = AddressType(self.type.signature, self.type.record, is_kept=True)
        return replace(self, record=record, type=kind)


def by_record(signature: Any, record: Any) -> Any:
    """The signature of functions that get an argument of this type by address: `kept(at)[0]`."""
    arguments, result = normalize_signature(signature)
    at = KeptType(types.UniTuple(record, 1))
    return result(*(at if kind == record else kind for kind in arguments))


@typeof_impl.register(Address)  # type: ignore[untyped-decorator]
def _type_of(value: Address, _context: Any) -> Any:
    return value.type


@unbox(AddressType)  # type: ignore[untyped-decorator]
def _unboxed(kind: Any, value: Any, c: Any) -> Any:
    made = cgutils.create_struct_proxy(kind)(c.context, c.builder)
    for name in ("code", "record"):
        number = c.pyapi.object_getattr_string(value, name)
        setattr(made, name, c.pyapi.long_as_voidptr(number))
        c.pyapi.decref(number)
    return NativeValue(made._getvalue())


@lower_builtin(AddressType, AddressType, types.VarArg(types.Any))  # type: ignore[untyped-decorator]
def _call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Call the code as numba's C callbacks are called, with the record's address in its place."""
    kind = signature.args[0]
    address = cgutils.create_struct_proxy(kind)(context, builder, values[0])
    given = list(values[1:])
    at = signature.args.index(kind.record) - 1
    given[at] = address.record if kind.is_kept else _on_stack(builder, given[at])
    result = context.get_value_type(signature.return_type)
    code = ir.FunctionType(result, [value.type for value in given]).as_pointer()
    return builder.call(builder.bitcast(address.code, code), given)


def _on_stack(builder: Any, record: Any) -> Any:
    """Address of a copy of a record."""
    here = cgutils.alloca_once(builder, record.type)
    builder.store(record, here)
    return builder.bitcast(here, cgutils.voidptr_t)
