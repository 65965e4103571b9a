"""A shell command for each chunk."""

import os
import subprocess
import sys
from pathlib import Path
from typing import final

from isocline.dispatch.batch.quoting import VARIABLE, with_path
from isocline.errors import IsoclineError

_LAST = 2000  # characters of what a command that failed wrote on its standard error

# The shell's standard input is a pipe that only this process can write to, and never does. When it
# is closed, whether at the end or as this process has died, a child of the shell kills the group:
# pipelines and what runs in the background end with their task, however that ends.
_SHELL = """
exec 3<&0 </dev/null
{ read -r _ <&3; kill -9 0; } >/dev/null 2>&1 &
exec 3<&-
exec /bin/sh -c "$0"
"""


class CommandError(IsoclineError):
    """A command ended with another status than 0."""


@final
class Command:
    """Runs in `sh`; what it writes on its standard output, without the last newline, is the result.

    `{path}` stands for the path of the chunk at its node. It becomes a variable of the shell, which
    is one word whatever the path is (`quoting`); commands can use it as `$CHUNK_PATH`, too. Other
    braces stay as they are.
    """

    def __init__(self, text: str) -> None:
        """Raises QuotingError if `{path}` stands where the shell would not read it as one word."""
        self._text = with_path(text)

    def __call__(self, path: str | Path) -> str:
        """The output; raises CommandError."""
        reading, held = os.pipe()
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _SHELL, self._text],
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, VARIABLE: str(path)},
                process_group=0,
            )
        finally:
            os.close(reading)
        with process:
            try:
                output, errors = process.communicate()
            finally:
                os.close(held)
        said = errors.decode(errors="backslashreplace").rstrip()
        if process.returncode != 0:
            last = said[-_LAST:] or "it wrote nothing on its standard error"
            raise CommandError(f"{_status(process.returncode)}: {last}")
        if said:
            print(said, file=sys.stderr, flush=True)
        return output.decode(errors="backslashreplace").removesuffix("\n")


def _status(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"
