"""Engine on a Dask cluster: `pip install 'isocline[dask]'`.

Read `engine`, `membership` and `worker_thread` (in this process), then `worker_context` (at a Dask
worker).
"""

from isocline.errors import MissingExtraError

try:
    import distributed  # noqa: F401
except ImportError as _error:
    raise MissingExtraError("the engine on Dask needs: pip install 'isocline[dask]'") from _error

from isocline.dispatch.engines.dask.engine import DaskEngine

__all__ = ["DaskEngine"]
