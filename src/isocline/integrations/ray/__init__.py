"""Ray's own tasks, actors and Ray Data reads near their data: `pip install 'isocline[ray]'`.

    with NearData(locations) as near:
        refs = list(near.map(count, chunks))
        dataset = near.read_parquet(files)

Read `near_data`, then `pinned_tasks` (the engine that it schedules for) and `pinned_call` (at a
Ray worker).
"""

from isocline.errors import MissingExtraError

try:
    import ray  # noqa: F401
except ImportError as _error:
    raise MissingExtraError(
        "isocline.integrations.ray needs: pip install 'isocline[ray]'"
    ) from _error

from isocline.integrations.ray.near_data import NearData

__all__ = ["NearData"]
