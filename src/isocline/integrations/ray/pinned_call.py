"""Call of a task at a Ray worker: the result stays in the node's store, the caller gets its end."""

import pickle
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import ray

from isocline.dispatch.engines.common.attempt import Read, performed

_FUNCTIONS = 64  # that a worker keeps


class Pinned(NamedTuple):
    """Place for which an attempt is meant."""

    node: str  # name of the node
    site: str  # id of its Ray node
    holds: bool  # whether it holds the chunk


def call(
    attempt: int, pinned: Pinned, code: bytes, arguments: bytes, chunk: str | None
) -> tuple[bytes, Any]:
    """Run an attempt to its end.

    Args:
        attempt: Its number.
        pinned: Where it is meant to run; Ray may have had to run it elsewhere.
        code: Pickled function of the chunk's name and the arguments.
        arguments: Pickled (args, kwargs).
        chunk: Name of the chunk.

    Returns:
        Pickled `Done` or `Raised`, and the value; two objects of Ray's.
    """
    kept: list[Any] = []

    def function() -> Callable[..., None]:
        called = _function(code)
        return lambda *given, **named: kept.append(called(*given, **named))

    here = ray.get_runtime_context().get_node_id() == pinned.site
    read = None if chunk is None else lambda: Read(chunk, pinned.holds and here)
    ending = performed(attempt, pinned.node, function, arguments, read)
    return pickle.dumps(ending, pickle.HIGHEST_PROTOCOL), kept[0] if kept else None


@lru_cache(_FUNCTIONS)
def _function(code: bytes) -> Callable[..., Any]:
    found: Callable[..., Any] = pickle.loads(code)
    return found
