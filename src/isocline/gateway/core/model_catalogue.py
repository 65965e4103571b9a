"""Catalogue of the models that requests may ask for: their sizes, and times of loads as learned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from isocline.gateway.core.model_memory import MOST_NAMES
from isocline.gateway.core.running_ratio import RunningRatio

# s that a load is thought to take until one was timed. Not 0: then the first requests of a model
# would have it loaded everywhere.
_UNTIMED = 1.0


@final
@dataclass(frozen=True)
class KnownModel:
    """Models of one entry of the file.

    Attributes:
        size: Memory that each takes.
        load: s that a load takes, as given; 0: not known.
        fits: Whether a name is one of them.
    """

    size: float
    load: float
    fits: Callable[[str], bool]


@final
class ModelCatalogue:
    """Models by the entries of a file, of which the first that fits a name counts.

    Attributes:
        load_times: Mean time of a load of each entry, s, as learned; None: not known yet.
    """

    def __init__(self, entries: Sequence[KnownModel]) -> None:
        """Initialise with times of loads as given."""
        self._entries = entries
        self.load_times = [
            RunningRatio(entry.load, 1.0) if entry.load > 0.0 else None for entry in entries
        ]
        self._numbers: dict[str, int] = {}  # of the entry, by model; -1: none

    def has(self, model: str) -> bool:
        """Whether a model is one of the file's."""
        return self._entry(model) >= 0

    def size(self, model: str) -> float:
        """Memory that a model takes."""
        return self._entries[self._entry(model)].size

    def load_time(self, model: str) -> float:
        """Expected time of a load, s."""
        known = self.load_times[self._entry(model)]
        return _UNTIMED if known is None else known.value

    def learn(self, model: str, seconds: float) -> None:
        """Take in how long a load took."""
        number = self._entry(model)
        known = self.load_times[number]
        if known is None:
            self.load_times[number] = RunningRatio(seconds, 1.0)
        else:
            known.add(seconds, 1.0)

    def _entry(self, model: str) -> int:
        number = self._numbers.get(model)
        if number is None:
            fitting = (i for i, entry in enumerate(self._entries) if entry.fits(model))
            if len(self._numbers) >= MOST_NAMES:  # clients choose the names
                self._numbers.clear()
            number = self._numbers[model] = next(fitting, -1)
        return number
