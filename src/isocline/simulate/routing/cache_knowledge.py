"""Knowledge that frontends of a simulated system have of prefix caches, and of answers."""

from dataclasses import dataclass
from typing import Literal, final

from isocline.arguments import require_fields

Caches = Literal["own", "homes", "exact", "none"]
Outputs = Literal["mean", "known"]


@final
@dataclass(frozen=True)
class CacheKnowledge:
    """What frontends know of prefix caches, and of the lengths of answers."""

    # own: each frontend follows the caches by what it sends itself; homes: besides, all agree on
    # one backend for each prefix (`kernels.prefix_caching`); exact: each knows what caches hold;
    # none: it takes them to be empty.
    caches: Caches = "own"
    # mean: a frontend expects the mean length of its answers so far; known: it knows each.
    outputs: Outputs = "mean"

    def __post_init__(self) -> None:
        require_fields(self, "cache knowledge")

    @property
    def in_words(self) -> str:
        """Clause of the small print."""
        caches = {
            "own": "each frontend follows caches by what it sends",
            "homes": "each frontend follows caches by what it sends, and all agree on homes",
            "exact": "frontends know what caches hold",
            "none": "frontends do not know what caches hold",
        }[self.caches]
        known = self.outputs == "known"
        return f"{caches}, {'and' if known else 'not'} the lengths of answers"
