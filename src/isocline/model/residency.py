"""Models and adapters that requests ask for, each of which a backend has in memory or must load.

A model that is not resident at a backend costs its load there: the backend stands still for `load`
seconds, as a server does that loads weights between two steps, and so all its jobs wait. While it
holds N jobs, l_b(N) * load of work is not done meanwhile: a request of work w has w_fb = w there
where its model is resident, and w + l_b(N) * load where it is not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import NOT_NEGATIVE, POSITIVE, at_least, kind_of, require
from isocline.errors import UsageError
from isocline.plural import first_of

FloatArray = npt.NDArray[np.float64]

NO_MODEL = -1  # in place of a model's number: a request for which nothing has to be resident


@final
@dataclass(frozen=True)
class Model:
    """A model, or several alike that a pattern names: `lora-*` with a `count` of 105.

    Attributes:
        name: Name, or a shell-style pattern.
        size: Memory that each takes, in the unit of `Backend.memory`.
        load: s that a backend stands still to load one.
        count: Models that a pattern stands for, each with its number in place of the `*`; None:
            as many as are asked for, which only `isocline serve` finds out.
        weight: Popularity of all of them together, relative to that of others; None: `count`.
        zipf: Exponent s of their popularity: the k-th is asked for in proportion to k^-s.
    """

    name: str
    size: float = 1.0
    load: float = 0.0
    count: int | None = None
    weight: float | None = None
    zipf: float = 0.0

    def __post_init__(self) -> None:
        require("model name", self.name, kind_of(str))
        place = f"model {self.name!r}"
        require(f"{place}: size", self.size, kind_of(float), POSITIVE)
        require(f"{place}: load", self.load, kind_of(float), NOT_NEGATIVE)
        require(f"{place}: count", self.count, kind_of(int | None), at_least(1))
        require(f"{place}: weight", self.weight, kind_of(float | None), NOT_NEGATIVE)
        require(f"{place}: zipf", self.zipf, kind_of(float), NOT_NEGATIVE)
        if self.count is not None and not (self.is_pattern and self.name.count("*") == 1):
            raise UsageError(
                f"{place}: count is {self.count}; give a name with one * in it, in whose place "
                "the numbers go"
            ).within("count")

    @property
    def is_pattern(self) -> bool:
        """Whether the name stands for all that match it."""
        return any(mark in self.name for mark in "*?[")

    def members(self) -> tuple["Model", ...]:
        """Each single model that it stands for, with its weight; raises UsageError without count.

        The numbers begin at 1.
        """
        if not self.is_pattern:
            return (replace(self, weight=1.0 if self.weight is None else self.weight),)
        if self.count is None:
            raise UsageError(
                f"model {self.name!r}: a plan or a simulation needs the number of models that the "
                "pattern stands for; add it, as count: 105"
            )
        shares = np.arange(1, self.count + 1, dtype=np.float64) ** -self.zipf
        shares *= (self.count if self.weight is None else self.weight) / shares.sum()
        return tuple(
            Model(self.name.replace("*", str(k)), self.size, self.load, weight=share)
            for k, share in enumerate(shares.tolist(), start=1)
        )


def model_of(models: Iterable[Model], name: str) -> Model | None:
    """The entry of a model: the one with its name, or the first whose pattern it matches."""
    matching = None
    for model in models:
        if model.name == name:
            return model
        if matching is None and model.is_pattern and fnmatchcase(name, model.name):
            matching = model
    return matching


@final
@dataclass(frozen=True, eq=False)
class Catalogue:
    """M single models: what a plan and a simulation take the entries of a system for."""

    models: tuple[Model, ...]

    @classmethod
    def of(cls, entries: Iterable[Model]) -> "Catalogue":
        """The single models that entries stand for; raises UsageError as `Model.members`.

        A model that has an entry of its own is no member of a pattern's.
        """
        found: dict[str, Model] = {}
        entries = list(entries)
        own = {entry.name for entry in entries if not entry.is_pattern}
        for i, entry in enumerate(entries):
            try:
                members = entry.members()
            except UsageError as error:
                raise error.within("models", i, "count") from None
            for model in members:
                if not entry.is_pattern or model.name not in own:
                    found.setdefault(model.name, model)
        return cls(tuple(found.values()))

    @cached_property
    def number(self) -> Mapping[str, int]:
        """Number of each model by its name."""
        return {model.name: m for m, model in enumerate(self.models)}

    @cached_property
    def sizes(self) -> FloatArray:
        """(M,) memory that each takes."""
        return np.array([model.size for model in self.models])

    @cached_property
    def loads(self) -> FloatArray:
        """(M,) s that a backend stands still to load each."""
        return np.array([model.load for model in self.models])

    @cached_property
    def weights(self) -> FloatArray:
        """(M,) popularity, relative."""
        return np.array([model.weight or 0.0 for model in self.models])

    def matching(self, name: str) -> list[int]:
        """Numbers of the models that a name or a shell-style pattern stands for."""
        if name in self.number:
            return [self.number[name]]
        return [m for m, model in enumerate(self.models) if fnmatchcase(model.name, name)]

    def shares(self, given: Sequence[tuple[str, float]], pattern: str | None) -> FloatArray:
        """(M,) share of a frontend's requests that each model has; 0 of all: it asks for none.

        Args:
            given: Shares by name or pattern, relative; empty: all that `pattern` lets in, by their
                popularity.
            pattern: Shell-style pattern of the models that the frontend takes; None: all.

        Raises:
            UsageError: A name or pattern stands for no model, or all shares are 0.
        """
        found = np.zeros(len(self.models))
        for name, share in given or [(pattern or "*", 1.0)]:
            members = self.matching(name)
            if not members and given:
                raise UsageError(
                    f"{name!r} is no model; there are "
                    f"{first_of([repr(model.name) for model in self.models], 5)}"
                ).within("models", name)
            weights = self.weights[members]
            if not weights.sum() > 0.0:
                weights = np.ones(len(members))
            found[members] += share * weights / max(weights.sum(), 1.0e-300)
        if given and not found.sum() > 0.0:
            raise UsageError("all shares of models are 0; give one above 0").within("models")
        return found / found.sum() if found.sum() > 0.0 else found


def require_residency(models: Sequence[Model], backends: Sequence[Any]) -> None:
    """Raise UsageError unless what backends have pinned are models that fit into their memory.

    Args:
        models: Entries, whose names must differ.
        backends: Those of `isocline.model.fleet`.
    """
    names = [model.name for model in models]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UsageError(
                f"model {name!r} stands twice; choose another name, or leave one out"
            ).within("models", i, "name")
    for backend in backends:
        try:
            _require_pinned(models, backend)
        except UsageError as error:
            raise error.within("backends", backend.name) from None


def _require_pinned(models: Sequence[Model], backend: Any) -> None:
    place = f"backend {backend.name!r}"
    if not models and (backend.memory is not None or backend.resident):
        key = "resident" if backend.resident else "memory"
        raise UsageError(
            f"{place}: {key} is given, and the system has no models; give them, as "
            "models: [{name: base-7b, size: 14, load: 6.0}]"
        ).within(key)
    taken = 0.0
    for i, name in enumerate(backend.resident):
        model = model_of(models, name)
        if model is None or any(mark in name for mark in "*?["):
            known = first_of([repr(it.name) for it in models], 5)
            raise UsageError(
                f"{place}: {name!r} is no model; give the name of one, of {known}"
            ).within("resident", i)
        taken += model.size
    if backend.memory is not None and taken > backend.memory:
        raise UsageError(
            f"{place}: its resident models take {taken:g} of memory, and it has "
            f"{backend.memory:g}; give more memory, or pin fewer"
        ).within("resident")
