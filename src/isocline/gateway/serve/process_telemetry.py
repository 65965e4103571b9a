"""Telemetry of a worker: its instance id, and the names behind the numbers in its requests.

Modules that need the extra `telemetry` are imported here, and only if the file has `tracing`.
"""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from isocline.gateway.access_log import Observer
from isocline.gateway.serve.config import Serving

if TYPE_CHECKING:
    from isocline.gateway.telemetry.telemetry import Telemetry


def telemetry_of(
    serving: Serving,
    worker: int | None,
    clock: Callable[[], float],
    unix_time: Callable[[], float],
) -> "Telemetry | None":
    """Make the telemetry of a process; None if nothing is exported.

    Each of several workers has its own id: random, or the given one followed by its number.
    """
    settings = serving.telemetry
    if settings is None:
        return None
    from isocline.gateway.telemetry.telemetry import Telemetry  # noqa: PLC0415

    given = dict(settings.resource).get("service.instance.id")
    if given is not None and worker is not None:
        given = f"{given}-{worker}"
    return Telemetry(settings, given or str(uuid.uuid4()), clock, unix_time)


def observer_of(telemetry: "Telemetry", serving: Serving) -> Observer:
    """Make an observer of the requests served under these settings."""
    from isocline.gateway.telemetry.spans import Names  # noqa: PLC0415

    frontends = [frontend.name for frontend in serving.system.frontends]
    return telemetry.observer(Names(serving.policy, frontends, serving.proxy.backends))
