"""Calls of a Dask client: install, uninstall, statistics.

With an asynchronous client each returns an awaitable.
"""

import secrets
from typing import Any

import distributed
from distributed.protocol.pickle import dumps

from isocline.dispatch.scheduler import DEFAULT_POLICY
from isocline.dispatch.setup import prior
from isocline.errors import UsageError
from isocline.integrations.dask.chunks import ChunkLocations, Locations
from isocline.integrations.dask.plugin import NAME, NearDataPlugin
from isocline.integrations.dask.statistics import Statistics
from isocline.integrations.dask.versions import require_tested
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy
from isocline.policies.scheduling.contract import SchedulingPolicy


def install(
    client: Any,
    locations: Locations | None = None,
    *,
    policy: str | SchedulingPolicy = DEFAULT_POLICY,
    rates: Rates | None = None,
    seed: int | None = None,
) -> Any:
    """Let a policy decide where the tasks of a Dask cluster run; replaces an earlier one.

    Tasks that read a chunk of `locations` wait until a worker that holds it is free, or another one
    gains time by taking them. So do tasks whose inputs are large, near the workers that hold those.
    All others are Dask's to place, and so are tasks for which the program says where they may run,
    or with a priority. Programs are left as they are.

    Args:
        client: `distributed.Client`; Isocline must be installed where its scheduler runs.
        locations: Names of the workers or hosts that hold each chunk: a mapping, or a function from
            a list of texts to such a mapping of those that it knows, which is called on the
            scheduler once for each graph and must be quick.
        policy: Any scheduling policy.
        rates: Assumed rates of tasks near their data and far from it, tasks/s, until they are
            measured; by default those far from it take twice as long.
        seed: Seed of the policy's ties; None: a different one each time.

    Raises:
        UsageError: The locations cannot be used; the versions of Dask are others than this was
            tested on; or the scheduler lacks Isocline.
        PolicyError: The policy is unknown.
    """
    require_tested(distributed.__version__, "this process")
    ChunkLocations(locations)
    chosen = secrets.randbits(32) if seed is None else seed
    plugin = NearDataPlugin(locations, scheduling_policy(policy), rates or prior(1), chosen)
    return client.sync(_install, client, plugin)


def uninstall(client: Any) -> Any:
    """Give all decisions back to Dask; nothing if there is no plugin. Tasks go on."""
    return client.run_on_scheduler(_uninstall)


def statistics(client: Any) -> Any:
    """Return the `Statistics` since `install`; also a page of the scheduler's at `/isocline`.

    Raises:
        UsageError: The plugin is not there.
    """
    return client.run_on_scheduler(_statistics)


async def _install(client: Any, plugin: NearDataPlugin) -> None:
    try:
        await client.scheduler.register_scheduler_plugin(
            plugin=dumps(plugin), name=NAME, idempotent=False
        )
    except ModuleNotFoundError as error:
        raise UsageError(
            f"isocline.integrations.dask: the scheduler has no module {error.name}: "
            "pip install 'isocline[dask]' where it runs"
        ) from error


def _plugin(dask_scheduler: Any) -> NearDataPlugin | None:
    found = dask_scheduler.plugins.get(NAME)
    return found if isinstance(found, NearDataPlugin) else None


def _uninstall(dask_scheduler: Any) -> None:
    if plugin := _plugin(dask_scheduler):
        plugin.stop()


def _statistics(dask_scheduler: Any) -> Statistics:
    plugin = _plugin(dask_scheduler)
    if plugin is None:
        raise UsageError("isocline.integrations.dask: nothing is installed; call install(client)")
    return plugin.statistics()
