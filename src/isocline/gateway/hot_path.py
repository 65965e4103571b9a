"""The hot path: what every request passes through, which a build may compile (docs/serve.md)."""

from importlib.machinery import ExtensionFileLoader

from isocline.gateway.proxy import exchange


def is_compiled() -> bool:
    """Whether this installation has it compiled: the modules are all so, or none."""
    spec = exchange.__spec__
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def kind() -> str:
    """The same in words."""
    return "compiled" if is_compiled() else "not compiled"
