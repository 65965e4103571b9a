"""The hot path: modules on every request's way, which a build may compile.

See docs/router-speed.md.
"""

from importlib.machinery import ExtensionFileLoader

from isocline.gateway.proxy import exchange


def is_compiled() -> bool:
    """Whether this installation has it compiled: either all of the modules are, or none."""
    spec = exchange.__spec__
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def kind() -> str:
    """Describe that for a message."""
    return "compiled" if is_compiled() else "not compiled"
