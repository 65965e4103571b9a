"""Readiness of a router: a frontend without a backend in service cannot be served."""

from collections.abc import Iterable, Sequence


def unserved(frontends: Iterable[tuple[str, Sequence[bool]]]) -> list[str]:
    """Describe the frontends that cannot be served.

    Args:
        frontends: Name of each, and whether each of its backends is in service.
    """
    return [
        f"frontend {name}: "
        + ("none of its backends is up" if backends else "no backend has been discovered for it")
        for name, backends in frontends
        if not any(backends)
    ]
