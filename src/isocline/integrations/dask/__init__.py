"""Tasks of unchanged Dask programs bound late, and near their data, by this project's policies.

    from isocline.integrations.dask import install

    install(client, locations={"/data/a.parquet": ["host1", "host2"], ...})
    dask.dataframe.read_parquet("/data").sum().compute()

`install` sends a plugin to the scheduler. Read `plugin`, what it replaces in Dask's scheduler;
`binding`, which carries out what `placement` decides; `holders`, who has a task's data, by the
`chunks` that it reads and the `places` where these are.
"""

from isocline.errors import MissingExtraError

try:
    import distributed  # noqa: F401
except ImportError as _error:
    raise MissingExtraError(
        "isocline.integrations.dask needs: pip install 'isocline[dask]'"
    ) from _error

from isocline.integrations.dask.chunks import Locations
from isocline.integrations.dask.client import install, statistics, uninstall
from isocline.integrations.dask.statistics import Statistics

__all__ = ["Locations", "Statistics", "install", "statistics", "uninstall"]
