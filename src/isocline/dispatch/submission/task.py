"""Task as the scheduler's process keeps it, from submission to end."""

from dataclasses import dataclass
from typing import Any, final

from isocline.dispatch.core.resources import Need
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Input
from isocline.dispatch.submission.payload import Function
from isocline.dispatch.submission.versions import Data
from isocline.dispatch.telemetry.records import Outcome


@final
@dataclass(slots=True, eq=False)
class Task:
    """A submitted task and its progress."""

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
    inputs: tuple[Input, ...] = ()  # to which `arguments` refer
    awaited: tuple[TaskFuture[Any], ...] = ()  # futures among them
    missing: int = 0  # number of these that have not ended
    need: Need = ()  # resources
    anywhere: bool = False  # whether it is local at all nodes
    fingerprint: bytes = b""  # packed `Identity`, if there is a journal
    data: Data | None = None  # called at the end for the data's fingerprint
    found: bytes | None = None  # pickled result from an earlier run
    submitted: float = 0.0  # s
    attempts: int = 0  # number of attempts so far
    error: BaseException | None = None  # of the last failed attempt
    over: Outcome | None = None  # set at its end: the outcome of attempts still under way
