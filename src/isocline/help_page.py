"""Help on a module as one page: its docstring, and no lists of all that is in it.

`help()` of a package prints every member of every class that the package names, which is a
thousand lines here, and loads them all.
"""

import sys
from types import FrameType, ModuleType


class HelpPage(ModuleType):
    """Module of which `help()` prints the docstring alone."""

    def __dir__(self) -> list[str]:
        """The names of `__all__`, or all there are where there is no such list."""
        # pydoc falls back to the docstring where listing fails so (`pydoc.Doc.document`); it has
        # no hook of its own for this.
        if _asked_by_pydoc(sys._getframe(1)):
            raise AttributeError("help prints the docstring alone")
        return sorted(getattr(self, "__all__", super().__dir__()))


def _asked_by_pydoc(frame: FrameType | None) -> bool:
    """Whether `dir` was called to document the module: by `inspect`, for `pydoc`."""
    for _ in range(3):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "pydoc":
            return frame.f_code.co_name == "docmodule"
        frame = frame.f_back
    return False
