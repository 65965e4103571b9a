"""Catalogue of models: answers of the backends in, the union for a client out. Without I/O."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from isocline.errors import UsageError

Model = dict[str, Any]
"""One entry of OpenAI's list: `id`, `object`, `created`, `owned_by`, and what a server adds."""
Takers = Callable[[str], Sequence[int]]
"""From a model's id to the numbers of the frontends by which a client may reach it."""


@final
@dataclass(frozen=True)
class ModelListing:
    """How `GET /v1/models` is answered; times in s.

    Attributes:
        fresh: For how long an answer of the backends is good before they are asked again.
        timeout: For a backend's answer.
        kept: For how long the last answer of a backend that no longer answers is shown.
        backends: Tell clients the names of the backends that have a model loaded.
    """

    fresh: float = 5.0
    timeout: float = 2.0
    kept: float = 60.0
    backends: bool = True

    def __post_init__(self) -> None:
        for name in ("fresh", "timeout", "kept"):
            seconds = getattr(self, name)
            if not 0 < seconds < math.inf:
                raise UsageError(f"models: {name} is {seconds}; give a time in seconds above 0")


@final
@dataclass(slots=True)
class Heard:
    """The last good answer of one backend, and when it came, s."""

    models: Mapping[str, Model]
    at: float


@final
class Catalogue:
    """What each backend has said.

    Attributes:
        heard: By the backend's number; None: it has not answered.
    """

    def __init__(
        self, names: Sequence[str], neighbours: Sequence[Sequence[int]], rule: ModelListing
    ) -> None:
        """Names of the backends, and the numbers of each frontend's."""
        self.heard: list[Heard | None] = [None] * len(names)
        self._names = tuple(names)
        self._neighbours = tuple(frozenset(edges) for edges in neighbours)
        self._rule = rule
        self._asked = -math.inf  # s, when all backends were asked the last time

    def is_fresh(self, now: float) -> bool:
        """Whether the backends need not be asked again."""
        return now - self._asked < self._rule.fresh

    def asked(self, now: float) -> None:
        """All backends have been asked, and have answered or not."""
        self._asked = now

    def answered(self, backend: int, now: float, models: Mapping[str, Model]) -> None:
        """A backend has listed its models."""
        self.heard[backend] = Heard(models, now)

    def union(self, now: float, takers: Takers) -> list[Model]:
        """Each model that a client may use, once, in the order of the backends.

        Of the fields that servers add to the four of OpenAI's, those stay that all backends with
        the model agree on.
        """
        found: dict[str, list[int]] = {}
        for backend, heard in enumerate(self.heard):
            if heard is not None and now - heard.at <= self._rule.kept:
                for name in heard.models:
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
        first, *others = [heard.models[name] for b in backends if (heard := self.heard[b])]
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
    """The models of a server's list, by their ids; None if it is no such list."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        return None
    return {it["id"]: it for it in data if isinstance(it, dict) and isinstance(it.get("id"), str)}
