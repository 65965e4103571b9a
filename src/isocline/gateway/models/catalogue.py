"""Catalogue of models: lists of the backends, and their union for a client. Without I/O."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from isocline.model.serving_settings import ModelListing

Model = dict[str, Any]
"""One entry of OpenAI's list: `id`, `object`, `created`, `owned_by`, and what a server adds."""
Takers = Callable[[str], Sequence[int]]
"""From a model's id to the numbers of the frontends by which a client may reach it."""


@final
@dataclass(slots=True)
class LastAnswer:
    """Last good answer of one backend, and its time, s."""

    models: Mapping[str, Model]
    at: float


@final
class Catalogue:
    """Lists of all backends.

    Attributes:
        answers: Last answer by the backend's number; None: it has not answered.
    """

    def __init__(
        self, names: Sequence[str], neighbours: Sequence[Sequence[int]], rule: ModelListing
    ) -> None:
        """Initialise, from the names of the backends and the numbers of each frontend's."""
        self.answers: list[LastAnswer | None] = [None] * len(names)
        self._names = tuple(names)
        self._neighbours = tuple(frozenset(edges) for edges in neighbours)
        self._rule = rule
        self._asked = -math.inf  # s, when all backends were asked the last time

    def is_fresh(self, now: float) -> bool:
        """Whether the lists need not be renewed."""
        return now - self._asked < self._rule.fresh

    def asked(self, now: float) -> None:
        """Record that all backends were asked, with or without success."""
        self._asked = now

    def answered(self, backend: int, now: float, models: Mapping[str, Model]) -> None:
        """Store the list of a backend."""
        self.answers[backend] = LastAnswer(models, now)

    def union(self, now: float, takers: Takers) -> list[Model]:
        """Return each model that a client may use, once, in the order of the backends.

        Fields beyond OpenAI's four are kept if all backends with the model agree on them.
        """
        found: dict[str, list[int]] = {}
        for backend, answer in enumerate(self.answers):
            if answer is not None and now - answer.at <= self._rule.kept:
                for name in answer.models:
                    found.setdefault(name, []).append(backend)
        union = []
        for name, backends in found.items():
            reached = self._reached(takers(name))
            if loaded := [backend for backend in backends if backend in reached]:
                union.append(self._entry(name, loaded))
        return union

    def _reached(self, frontends: Sequence[int]) -> frozenset[int]:
        return frozenset().union(*(self._neighbours[frontend] for frontend in frontends))

    def _entry(self, name: str, backends: Sequence[int]) -> Model:
        first, *others = [answer.models[name] for b in backends if (answer := self.answers[b])]
        agreed = {
            key: value
            for key, value in first.items()
            if all(key in other and other[key] == value for other in others)
        }
        created, owner = first.get("created", 0), first.get("owned_by", "")
        entry = {"id": name, "object": "model", "created": created, "owned_by": owner} | agreed
        if self._rule.backends:
            entry["backends"] = [self._names[backend] for backend in backends]
        return entry


def models_in(body: bytes) -> dict[str, Model] | None:
    """Parse a server's list of models, by their ids; None if it is malformed."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        return None
    return {it["id"]: it for it in data if isinstance(it, dict) and isinstance(it.get("id"), str)}
