"""Task, from its submission to its end."""

from dataclasses import dataclass
from typing import Any, final

from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.submission.payload import Function
from isocline.dispatch.submission.versions import Data
from isocline.dispatch.telemetry.records import Outcome


@final
@dataclass(slots=True, eq=False)
class Task:
    """Task as submitted, and its progress."""

    number: int
    key: str
    function: Function
    arguments: bytes
    chunk: str | None
    holders: tuple[str, ...]  # names of nodes
    engine_locates: bool  # `holders` come from the engine
    limit: float | None  # s from its start at a node
    job: int
    future: TaskFuture[Any]
    anywhere: bool = False  # it is local at all nodes
    fingerprint: bytes = b""  # an Identity, if there is a journal
    data: Data | None = None  # to be called at the end
    found: bytes | None = None  # its result of an earlier run, pickled
    submitted: float = 0.0  # s
    attempts: int = 0  # ever
    error: BaseException | None = None  # of the last one that failed
    over: Outcome | None = None  # once it has ended: the outcome of attempts still under way
