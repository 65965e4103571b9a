"""Several users' jobs on one scheduler, each with its fair share."""

from collections.abc import Callable
from typing import Any, TypeVar, final

from isocline.dispatch.futures import TaskFuture
from isocline.dispatch.submission.submitter import Submitter
from isocline.dispatch.submission.task_factory import Submission

T = TypeVar("T")


@final
class Job(Submitter):
    """Tasks that share the nodes with those of other jobs, by weight.

    Attributes:
        name: Prefix of its tasks' keys.
        weight: Weight in the fair share while others have tasks waiting.
    """

    def __init__(
        self,
        name: str,
        weight: float,
        submit: Callable[[Submission], TaskFuture[Any]],
        window: Callable[[], int],
    ) -> None:
        """Make a job; `submit` makes a task of it, `window` is as for the scheduler."""
        self.name = name
        self.weight = weight
        self._submit = submit
        self._window = window

    def submit(
        self,
        function: Callable[..., T],
        chunk: str | None = None,
        /,
        *arguments: Any,
        key: str | None = None,
        limit: float | None = None,
        **named: Any,
    ) -> TaskFuture[T]:
        return self._submit(Submission(function, chunk, arguments, named, key, limit))

    @property
    def window(self) -> int:
        return self._window()
