"""Reading of an actor's answers, in order."""

import pickle
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, final

import ray

from isocline.dispatch.engines.base import Raised
from isocline.dispatch.engines.common import calls
from isocline.dispatch.engines.common.remote_node import Answer
from isocline.dispatch.errors import AT_NODE, RemoteError
from isocline.dispatch.user_code_guard import Caught, guarded
from isocline.dispatch.user_code_guard import words as said

if TYPE_CHECKING:
    from ray import ObjectRef


Hear = Callable[[Any], None]  # called with the answer, or with the exception in its place


@final
class Answers:
    """Thread that waits for answers in order of the calls.

    An actor processes its calls in order, but Ray does not always report their ends in order. A
    future for each call would also be more expensive, as Ray makes futures in a busy thread.
    """

    def __init__(self, name: str) -> None:
        self._asked: SimpleQueue[tuple[ObjectRef[Any], Hear] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._listen, name=f"ray {name}", daemon=True)
        self._thread.start()

    def expect(self, ref: "ObjectRef[Any]", hear: Hear) -> None:
        """Expect another answer; `hear` is called with it in the thread."""
        self._asked.put((ref, hear))

    def close(self) -> None:
        """Expect no more answers; the thread ends after the last."""
        self._asked.put(None)

    @property
    def over(self) -> bool:
        """Whether it was closed and the last answer has arrived."""
        return not self._thread.is_alive()

    def join(self, patience: float) -> None:
        """Wait for the end of the thread, for at most `patience` s."""
        self._thread.join(patience)

    def _listen(self) -> None:
        while asked := self._asked.get():
            ref, hear = asked
            answer = guarded(ray.get, ref)
            if isinstance(answer, Caught):
                answer = error_of(answer)
            hear(answer)


def error_of(caught: Caught) -> Exception:
    """Exception in place of an answer; the user's own if the Ray task that makes a chunk failed."""
    error = caught.error
    return error if isinstance(error, Exception) else RemoteError(AT_NODE, said(error))


def words(error: Exception) -> str:
    """Message of an exception, without Ray's hints."""
    return str(error).partition("\n")[0]


def ended(attempt: int, node: str, answer: bytes | Exception) -> Answer:
    """Outcome of an attempt, from its answer."""
    if isinstance(answer, Exception):
        error = getattr(answer, "cause", None) or answer
        return Answer(Raised(attempt, node, *calls.failure(error)))
    sent: Answer = pickle.loads(answer)
    return sent
