"""Engine on a Ray cluster: `pip install 'isocline[ray]'`.

Read `engine`, `membership` and `actor_handle` (in this process), then `actor` and `execution_slots`
(at a Ray node).
"""

from isocline.errors import MissingExtraError

try:
    import ray  # noqa: F401
except ImportError as _error:
    raise MissingExtraError("the engine on Ray needs: pip install 'isocline[ray]'") from _error

from isocline.dispatch.engines.ray.engine import RayEngine

__all__ = ["RayEngine"]
