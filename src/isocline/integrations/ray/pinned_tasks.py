"""Engine whose nodes are CPUs of Ray nodes, and whose attempts are Ray tasks pinned to them."""

import pickle
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from isocline.dispatch.engines.base import (
    Done,
    Emit,
    Event,
    Node,
    NodeLost,
    NodeUp,
    Raised,
    Stopped,
    WorkItem,
)
from isocline.dispatch.engines.common import calls
from isocline.dispatch.engines.ray.engine_loop import Loop
from isocline.dispatch.errors import EngineError
from isocline.integrations.ray.pinned_call import Pinned, call

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ray import ObjectRef

_DIGITS = 12  # hexadecimal digits of a Ray node's id in the names of its nodes
_CODES = 64  # functions of which Ray keeps the code
_ENGINES: "weakref.WeakValueDictionary[int, PinnedTasks]" = weakref.WeakValueDictionary()


class Slot(NamedTuple):
    """CPUs of a Ray node on which one task runs at a time."""

    node: Node
    site: str  # id of the Ray node


class _Attempt(NamedTuple):
    ended: "ObjectRef[bytes]"
    value: "ObjectRef[Any]"


@final
class PinnedTasks:
    """Engine of Ray tasks that are pinned softly: if their node dies, Ray may run them elsewhere.

    A result is not brought here: it is a reference to Ray's object, which this process owns, so
    that it outlasts the engine.
    """

    def __init__(self, cpus: float, rack_label: str, options: Mapping[str, Any]) -> None:
        """Initialise.

        Args:
            cpus: CPUs of each task; a Ray node runs as many at a time as it has room for.
            rack_label: Label of Ray nodes that names their rack.
            options: Further options of Ray's for the tasks.
        """
        self.fetches = self.fixed = False
        self.loader: Callable[[Any], object] | None = None
        self.directories: Mapping[str, Path] = {}
        self._cpus, self._rack_label = cpus, rack_label
        self._task: Any = ray.remote(call)
        self._options = {"num_returns": 2, "num_cpus": cpus, **options}
        self._lock = threading.RLock()
        self._loop = Loop(self._lock, self._look, self._unreachable)
        self._slots: dict[str, Slot] = {}  # that are up, by node
        self._attempts: dict[str, dict[int, _Attempt]] = {}  # by node
        self._cancelled: set[int] = set()  # attempts that are to end
        self._values: dict[int, ObjectRef[Any]] = {}  # results not yet taken, by attempt
        self._codes: OrderedDict[bytes, ObjectRef[bytes]] = OrderedDict()
        self._closed = False
        _ENGINES[id(self)] = self

    def start(self, emit: Emit) -> Sequence[Node]:
        if not ray.is_initialized():
            raise EngineError("Ray is not connected; call ray.init() before")
        self._emit_all = emit
        self._slots = self._found()
        if not self._slots:
            raise EngineError(f"no Ray node has {self._cpus:g} CPUs; ask for fewer (cpus=)")
        self._attempts = {name: {} for name in self._slots}
        self._loop.start()
        return [slot.node for slot in self._slots.values()]

    def run(self, node: str, work: WorkItem) -> None:
        with self._lock:
            slot = self._slots.get(node)
            if slot is None:
                return
            here = NodeAffinitySchedulingStrategy(slot.site, soft=True)
            pinned = self._task.options(scheduling_strategy=here, **self._options)
            there = Pinned(node, slot.site, node in work.holders)
            given = self._code(work.function), work.arguments, work.chunk
            attempt = _Attempt(*pinned.remote(work.attempt, there, *given))
            self._attempts[node][work.attempt] = attempt
        self._loop.when(attempt.ended, partial(self._ended, node, work.attempt))

    def cancel(self, node: str, attempt: int) -> None:
        with self._lock:
            found = self._attempts.get(node, {}).get(attempt)
            if found is None:
                return
            self._cancelled.add(attempt)
        ray.cancel(found.ended)

    def fetch(self, node: str, chunk: str, holders: Sequence[str]) -> None:
        """Do nothing: no node can fetch, see `fetches`."""

    def release(self, number: int) -> None:
        """Do nothing: results stay in Ray's stores, and are given as Ray's references."""

    def locations(self, chunk: str) -> Sequence[str]:  # noqa: ARG002 - Ray knows no files
        return ()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            left = [it for attempts in self._attempts.values() for it in attempts.values()]
            self._attempts = {}
            self._slots = {}
        self._loop.close()
        for attempt in left:
            ray.cancel(attempt.ended)

    def sites(self, names: Sequence[str]) -> list[str]:
        """Ids of the Ray nodes that are up, of these nodes, or with these hosts or ids."""
        with self._lock:
            slots = list(self._slots.values())
        wanted = set(names)
        found = (
            slot.site
            for slot in slots
            if not wanted.isdisjoint((slot.node.name, slot.site, *slot.node.hosts))
        )
        return list(dict.fromkeys(found))

    def take(self, attempt: int) -> "ObjectRef[Any]":
        """Result of an attempt that is done; it may be taken once."""
        with self._lock:
            return self._values.pop(attempt)

    # Called in the engine's thread, under its lock but for `_look`.

    def _ended(self, node: str, attempt: int, future: "Future[bytes]") -> None:
        if (ended := self._attempts.get(node, {}).pop(attempt, None)) is None:
            return  # of a node that was lost
        error = future.exception()
        if error is None:
            ending: Done | Raised = pickle.loads(future.result())
        else:  # such as a worker that died more often than Ray tries
            ending = Raised(attempt, node, *calls.failure(error))
        if isinstance(ending, Done):
            self._values[attempt] = ended.value
            self._emit(ending._replace(value=pickle.dumps(_Result(id(self), attempt))))
        elif attempt in self._cancelled:  # which interrupted it
            self._emit(Stopped(attempt, node))
        else:
            self._emit(ending)
        self._cancelled.discard(attempt)

    def _look(self) -> None:
        found = self._found()
        with self._lock:
            for name in self._slots.keys() - found.keys():
                self._lose(name, "its Ray node has left the cluster")
            for name in found.keys() - self._slots.keys():
                self._slots[name] = found[name]
                self._attempts[name] = {}
                self._emit(NodeUp(found[name].node))

    def _lose(self, name: str, reason: str) -> None:
        del self._slots[name]
        left = self._attempts.pop(name)
        self._cancelled.difference_update(left)
        for attempt in left.values():  # or Ray would run them elsewhere, too
            ray.cancel(attempt.ended)
        self._emit(NodeLost(name, reason))

    def _unreachable(self, error: Exception) -> None:
        with self._lock:
            for name in tuple(self._slots):
                self._lose(name, f"Ray cannot be reached: {error}")

    def _found(self) -> dict[str, Slot]:
        """Slots of the Ray nodes that are alive, by name."""
        return {slot.node.name: slot for node in ray.nodes() for slot in self._of(node)}

    def _of(self, node: Mapping[str, Any]) -> list[Slot]:
        site: str = node["NodeID"]
        count = int(node["Resources"].get("CPU", 0.0) // self._cpus) if node["Alive"] else 0
        rack = node["Labels"].get(self._rack_label)
        # Locations may name the Ray node, by its id or the beginning of it, or its machine.
        hosts = (site, site[:_DIGITS], node["NodeManagerHostname"], node["NodeManagerAddress"])
        return [Slot(Node(f"{site[:_DIGITS]}/{i}", rack, hosts), site) for i in range(count)]

    def _code(self, code: bytes) -> "ObjectRef[bytes]":
        """Ray's object of a function's code, made once."""
        if code in self._codes:
            self._codes.move_to_end(code)
        else:
            self._codes[code] = ray.put(code)
            if len(self._codes) > _CODES:
                self._codes.popitem(last=False)
        return self._codes[code]

    def _emit(self, event: Event) -> None:
        if not self._closed:
            self._emit_all(event)


@final
class _Result:
    """Result of an attempt: unpickled in this process, it is Ray's reference."""

    def __init__(self, engine: int, attempt: int) -> None:
        self._where = engine, attempt

    def __reduce__(self) -> tuple[Any, ...]:
        return _taken, self._where


def _taken(engine: int, attempt: int) -> "ObjectRef[Any]":
    return _ENGINES[engine].take(attempt)
