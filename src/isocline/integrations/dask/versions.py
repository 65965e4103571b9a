"""Versions of Dask whose scheduler the plugin is known to fit."""

from isocline.errors import UsageError

TESTED = ("2026.8.",)
"""First parts of the versions that the plugin is tested on."""


def require_tested(version: str, where: str) -> None:
    """Check the version of Dask.

    Raises:
        UsageError: It is not one that this was tested on.
    """
    if not version.startswith(TESTED):
        known = ", ".join(f"{each}x" for each in TESTED)
        raise UsageError(
            f"isocline.integrations.dask: {where} runs Dask {version}, and this was tested on "
            f"{known}: install one of these, or run without it"
        )
