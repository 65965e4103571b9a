"""Inputs kept at a node, and what the scheduler's side knows of that."""

import pickle
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import final

from isocline.dispatch.engines.base import Done, Ending, WorkItem
from isocline.dispatch.inputs import InputData


@final
class NodeInputs:
    """Inputs kept in a process, by number; safe for several threads."""

    def __init__(self) -> None:
        self._kept: dict[int, InputData] = {}
        self._values: dict[int, object] = {}  # of shared ones
        self._lock = Lock()  # held while a shared value is unpickled, once

    def keep(self, given: InputData) -> None:
        """Keep an input; it is unpickled when a task gets it, so that errors are that task's."""
        self._kept[given.number] = given

    def keep_result(self, ending: Ending, number: int | None) -> None:
        """Keep the result of an attempt, if it is wanted and there is one."""
        if number is not None and isinstance(ending, Done):
            self.keep(InputData(number, ending.value, shared=False))

    def drop(self, number: int) -> None:
        """Drop an input that no later task gets."""
        self._kept.pop(number, None)
        self._values.pop(number, None)

    def value(self, number: int) -> object:
        """Return the value of an input; raises any exception of its unpickling."""
        given = self._kept.get(number)
        if given is None:  # a shared one, whose pickle is no longer needed
            return self._values[number]
        if not given.shared:
            return pickle.loads(given.data)
        with self._lock:
            if number not in self._values:
                self._values[number] = pickle.loads(given.data)
                self._kept.pop(number, None)
            return self._values[number]


@final
class SentInputs:
    """Scheduler's record of the inputs that a process has."""

    def __init__(self) -> None:
        self._there: set[int] = set()
        self._results: dict[int, int] = {}  # attempt under way -> number of its result

    def to_send(self, work: WorkItem) -> Sequence[InputData]:
        """Return the inputs to send before an attempt, which then count as being there."""
        if work.keep is not None:
            self._results[work.attempt] = work.keep
        if not work.inputs:
            return ()
        return list(self._new(work.inputs))

    def unsent(self, inputs: Sequence[InputData]) -> None:
        """Record that inputs of `to_send` are not there, as their attempt was withdrawn before."""
        self._there.difference_update(given.number for given in inputs)

    def ended(self, ending: Ending) -> None:
        """Record the end of an attempt, whose result may now be there."""
        number = self._results.pop(ending.attempt, None)
        if number is not None and isinstance(ending, Done):
            self._there.add(number)

    def drop(self, number: int) -> bool:
        """Record that an input is dropped; returns whether it was there."""
        if number not in self._there:
            return False
        self._there.remove(number)
        return True

    def _new(self, inputs: Sequence[InputData]) -> Iterator[InputData]:
        for given in inputs:
            if given.number not in self._there:
                self._there.add(given.number)
                yield given
