"""What numba would take from whichever caller is compiled first is said of every function."""

import importlib
import pkgutil

from numba.core.registry import CPUDispatcher

PACKAGES = ("policies", "simulate", "randomness", "flow", "theory", "learn", "dispatch")
INHERITED = {"error_model", "fastmath", "forceinline"}


def test_inlining_does_not_depend_on_what_is_compiled_first() -> None:
    """A kernel's machine code has the speed of its first compilation for as long as it is kept."""
    found = {}
    for package in PACKAGES:
        root = importlib.import_module(f"isocline.{package}")
        for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if ".engines." in module.name:
                continue  # some need Ray or Dask
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, CPUDispatcher):
                    found[f"{value.py_func.__module__}.{value.py_func.__qualname__}"] = value
    assert len(found) > 150
    unsaid = {
        name: left
        for name, one in found.items()
        if name.startswith("isocline.") and (left := INHERITED - one.targetoptions.keys())
    }
    assert not unsaid
