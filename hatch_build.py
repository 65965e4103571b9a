"""Compiles the router's hot path into a wheel, where HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 asks for it.

mypyc makes C of the modules that pyproject.toml names, as they are. All of it happens in a
temporary folder: the checkout stays as it is. So does an editable install, which runs what is
being edited.
"""

from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Not the project's own strict settings, which `make check` holds it to. Packages that are not here
# have type Any, which costs next to nothing; numpy is, as aliases of its types have to be known.
_MYPY = ("--config-file=", "--follow-imports=silent", "--ignore-missing-imports")
_NO_COMPILER = (
    "the hot path could not be compiled ({}): install a C compiler and Python's headers (Debian: "
    "gcc, python3-dev), or build without HATCH_BUILD_HOOK_ENABLE_CUSTOM, which needs neither"
)


class CompiledHotPath(BuildHookInterface):
    """Adds compiled modules to a wheel, beside their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self._folder = TemporaryDirectory()
        sources = [
            str(Path("src", *package.split("."), f"{module}.py"))
            for package, modules in self.config["modules"].items()
            for module in modules
        ]
        with chdir(self.root):  # paths below it are what tracebacks show
            compiled = _compile(sources, Path(self._folder.name))
        build_data["force_include"] |= {
            str(path): str(path.relative_to(compiled)) for path in compiled.rglob("*.so")
        }
        build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        if version != "editable":
            self._folder.cleanup()


def _compile(sources: list[str], folder: Path) -> Path:
    """Where the compiled modules are, each in its package's folder."""
    from mypyc.build import mypycify  # noqa: PLC0415
    from setuptools import Distribution  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415
    from setuptools.errors import BaseError, CCompilerError  # noqa: PLC0415

    modules = mypycify([*_MYPY, *sources], opt_level="3", target_dir=str(folder / "c"))
    command = build_ext(Distribution({"ext_modules": modules}))
    command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "temp")
    command.ensure_finalized()
    try:
        command.run()
    except (BaseError, CCompilerError) as error:
        raise SystemExit(_NO_COMPILER.format(error)) from error
    return folder / "lib"
