"""The live near-data scheduler (`isocline run`): a core that decides, engines that run tasks.

    from isocline.dispatch import Scheduler

Read `scheduler` (the user's interface), `submission/` (from a call to a task), `core/` (decisions
without I/O), `coordinator/` (link of core and engine), then one of `engines/`.

Names are imported on first use, because workers import modules of this package without needing the
scheduler.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isocline.dispatch.errors import ChunkError as ChunkError
    from isocline.dispatch.errors import EngineClosedError as EngineClosedError
    from isocline.dispatch.errors import EngineError as EngineError
    from isocline.dispatch.errors import ExitError as ExitError
    from isocline.dispatch.errors import InputError as InputError
    from isocline.dispatch.errors import JournalError as JournalError
    from isocline.dispatch.errors import NoHolderError as NoHolderError
    from isocline.dispatch.errors import NoRoomError as NoRoomError
    from isocline.dispatch.errors import QuarantinedError as QuarantinedError
    from isocline.dispatch.errors import RemoteError as RemoteError
    from isocline.dispatch.errors import ResultError as ResultError
    from isocline.dispatch.errors import TaskError as TaskError
    from isocline.dispatch.errors import TimeLimitError as TimeLimitError
    from isocline.dispatch.errors import UnpickedError as UnpickedError
    from isocline.dispatch.errors import UnreadableError as UnreadableError
    from isocline.dispatch.errors import UnreadError as UnreadError
    from isocline.dispatch.errors import UnwrittenError as UnwrittenError
    from isocline.dispatch.executor import Executor as Executor
    from isocline.dispatch.inputs import Broadcast as Broadcast
    from isocline.dispatch.rules import Rules as Rules
    from isocline.dispatch.scheduler import Scheduler as Scheduler
    from isocline.dispatch.setup import Settings as Settings
    from isocline.dispatch.sharing.client import SharedJob as SharedJob
    from isocline.dispatch.sharing.client import connect as connect
    from isocline.dispatch.telemetry.records import AttemptRecord as AttemptRecord
    from isocline.dispatch.telemetry.timeline import Timeline as Timeline

_ERRORS = (
    "ChunkError",
    "EngineClosedError",
    "EngineError",
    "ExitError",
    "InputError",
    "JournalError",
    "NoHolderError",
    "NoRoomError",
    "QuarantinedError",
    "RemoteError",
    "ResultError",
    "TaskError",
    "TimeLimitError",
    "UnpickedError",
    "UnreadError",
    "UnreadableError",
    "UnwrittenError",
)
_HOME_OF = dict.fromkeys(_ERRORS, "isocline.dispatch.errors") | {
    "AttemptRecord": "isocline.dispatch.telemetry.records",
    "Broadcast": "isocline.dispatch.inputs",
    "Executor": "isocline.dispatch.executor",
    "Rules": "isocline.dispatch.rules",
    "Scheduler": "isocline.dispatch.scheduler",
    "Settings": "isocline.dispatch.setup",
    "SharedJob": "isocline.dispatch.sharing.client",
    "Timeline": "isocline.dispatch.telemetry.timeline",
    "connect": "isocline.dispatch.sharing.client",
}
__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'isocline.dispatch' has no attribute {name!r}")
