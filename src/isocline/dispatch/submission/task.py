"""A task from its submission to its end, and one attempt at it."""

from dataclasses import dataclass
from typing import Any, NamedTuple, final

from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.submission.identity import Data
from isocline.dispatch.submission.payload import Function
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
    asked: bool  # the engine is asked for them
    limit: float | None  # s from its start at a node
    job: int
    future: TaskFuture[Any]
    anywhere: bool = False  # it is local at all nodes
    fingerprint: bytes = b""  # an Identity, if there is a journal
    data: Data | None = None  # to be asked at the end
    found: bytes | None = None  # its result of an earlier run, pickled
    submitted: float = 0.0  # s
    attempts: int = 0  # ever
    live: int = 0  # of these, those that have not ended
    error: BaseException | None = None  # what the last one that failed came to
    over: Outcome | None = None  # once it has ended, what attempts that are still live come to


@final
class Attempt(NamedTuple):
    """Task given to a node. Times are by the event loop's clock, s."""

    number: int
    task: Task
    server: int
    level: int
    why: str
    ahead: bool  # given while another one ran there
    given: float
    nth: int  # at this task, from 1
    copy: bool = False  # of one that is slow elsewhere
