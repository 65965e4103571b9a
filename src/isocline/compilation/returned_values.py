"""Check of what a user's function returns: numba would make edge 0 of 0.5, and edge 1 of True."""

from abc import ABC
from typing import Any, final

from numba.core import ir, types
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import AnalysisPass, register_pass
from numba.core.errors import TypingError
from numba.core.typed_passes import NopythonTypeInference

from isocline.user_code import is_own


@final
@register_pass(mutates_CFG=False, analysis_only=True)
class _RequireIntegers(AnalysisPass):  # type: ignore[misc]
    """Require integers of a function that is declared to return one."""

    _name = "require_integers"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        if isinstance(state.return_type, types.Integer):
            for block in state.func_ir.blocks.values():
                for returned in block.find_insts(ir.Return):
                    self._require_integer(state, returned)
        return False

    def _require_integer(self, state: Any, returned: Any) -> None:
        value = state.func_ir.get_definition(returned.value)
        converted = isinstance(value, ir.Expr) and value.op == "cast"
        found = state.typemap[(value.value if converted else returned.value).name]
        if isinstance(found, types.Float | types.Boolean):
            raise TypingError(f"No conversion from {found} to {state.return_type}", returned.loc)


class CheckedCompiler(Compiler, ABC):  # type: ignore[misc]
    """numba's compiler, which refuses a user's function that returns no integer where it must."""

    def define_pipelines(self) -> Any:
        """The usual passes, and the check where the function is a user's."""
        pipelines = super().define_pipelines()
        if is_own(self.state.func_id.func):
            for pipeline in pipelines:
                pipeline.add_pass_after(_RequireIntegers, NopythonTypeInference)
                pipeline.finalize()
        return pipelines


@final
class PlainCompiler(CheckedCompiler):
    """That of functions which can be called from anywhere."""
