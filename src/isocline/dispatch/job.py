"""Jobs: several users' tasks on one scheduler, each with a fair share."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

from isocline.dispatch.executor import Executor
from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.inputs import Broadcast
from isocline.dispatch.submission.submitter import Submitter
from isocline.dispatch.submission.task_factory import Submission

T = TypeVar("T")


@final
class Job(Submitter):
    """Group of tasks that shares the nodes with other jobs, by weight.

    Attributes:
        name: Prefix of the keys of its tasks.
        weight: Weight in the fair share while other jobs have waiting tasks.
    """

    def __init__(
        self,
        name: str,
        weight: float,
        submit: Callable[[Submission], TaskFuture[Any]],
        window: Callable[[], int],
        cancel_waiting: Callable[[Sequence[TaskFuture[Any]]], None],
        broadcast: Callable[[Any], Broadcast[Any]],
    ) -> None:
        """Initialise; `submit` submits a task of the job, the rest is the scheduler's."""
        self.name = name
        self.weight = weight
        self._submit = submit
        self._window = window
        self._cancel_waiting = cancel_waiting
        self._broadcast = broadcast

    def _put(self, submission: Submission) -> TaskFuture[Any]:
        return self._submit(submission)

    def executor(self) -> Executor:
        """Make an executor as of `concurrent.futures`, whose calls are tasks of this job."""
        return Executor(self._submit, self._cancel_waiting, self._broadcast, self._window)

    @property
    def window(self) -> int:
        return self._window()
