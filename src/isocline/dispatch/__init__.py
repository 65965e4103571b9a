"""The live near-data scheduler (`isocline run`): a core that decides, engines that run tasks.

    from isocline.dispatch import Scheduler

Read `scheduler` (what users call), `submission/` (a call becomes a task), `core/` (decisions
without I/O), `coordinator/` (core and engine tied together), then one of `engines/`.

Names are imported on first use: workers import modules below this package and need nothing of the
scheduler.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isocline.dispatch.rules import Rules as Rules
    from isocline.dispatch.scheduler import Scheduler as Scheduler
    from isocline.dispatch.setup import Settings as Settings
    from isocline.dispatch.telemetry.records import Ran as Ran
    from isocline.dispatch.telemetry.timeline import Timeline as Timeline

_HOME_OF = {
    "Ran": "isocline.dispatch.telemetry.records",
    "Rules": "isocline.dispatch.rules",
    "Scheduler": "isocline.dispatch.scheduler",
    "Settings": "isocline.dispatch.setup",
    "Timeline": "isocline.dispatch.telemetry.timeline",
}
__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'isocline.dispatch' has no attribute {name!r}")
