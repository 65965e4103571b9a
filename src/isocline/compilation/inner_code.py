"""Compilation of functions that only other compiled functions call.

numba optimises each function together with all that it calls, translates that for the processor,
and then links it into its callers, where both are done once more: a function five calls deep is
optimised five times. The code of an inner function is only prepared for linking here, and optimised
once, inside the kernel that uses it. That halves the time of compiling a kernel of the scheduler,
and costs kernels no speed. It is not kept on disk either: the kernel is.
"""

from typing import Any, final

import llvmlite.binding as llvm
from numba.core.codegen import JITCodeLibrary

from isocline.compilation.returned_values import CheckedCompiler


@final
class InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code of one function, to be linked into that of its callers."""

    def _optimize_final_module(self) -> None:
        """Do nothing: the caller's module is optimised as a whole."""

    def _finalize_final_module(self) -> None:
        """Translate nothing but the variables into which numba writes each function's environment.

        numba looks them up by name in the running process, and would write to address 0.
        """
        self._finalize_dynamic_globals()
        variables = self._final_module.global_variables
        names = [one.name for one in variables if one.linkage == llvm.Linkage.common]
        text = "".join(f'@"{name}" = common global ptr null\n' for name in names)
        self._environments = llvm.parse_assembly(text)
        self._environments.name = self.name
        self._codegen._add_module(self._environments)
        self._codegen._engine.finalize_object()
        self._finalized = True


@final
class InnerCompiler(CheckedCompiler):
    """numba's compiler, with an `InnerLibrary` for the code."""

    def define_pipelines(self) -> Any:
        """The usual passes; numba makes a library of its own only where there is none yet."""
        state = self.state
        if state.library is None:
            state.library = InnerLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()
