"""Reproduction of a figure: the picture, its data, and the paper's claims beside ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


@final
@dataclass(frozen=True)
class Claim:
    """One statement of a paper, and what was measured of it.

    Whether it holds is computed from the measurement, by a rule that `measured` lets a reader check
    (an interval, a tolerance).
    """

    claim: str
    source: str  # where the paper says so: "Theorem 3"
    measured: str  # in words, with units and intervals
    holds: bool
    values: Mapping[str, float | Sequence[float]] = field(default_factory=dict)  # for machines

    @property
    def verdict(self) -> str:
        """One word for tables."""
        return "agrees" if self.holds else "disagrees"

    def to_dict(self) -> dict[str, Any]:
        """One entry of `claims` in the JSON document."""
        return {
            "claim": self.claim,
            "source": self.source,
            "measured": self.measured,
            "verdict": self.verdict,
            "values": dict(self.values),
        }


@final
@dataclass(frozen=True, eq=False)
class Reproduction:
    """A figure of a paper, made again."""

    title: str
    claims: tuple[Claim, ...]
    tables: Mapping[str, Rows]
    """The data of each part: written to NAME-part.csv, or to NAME.csv for the part ""."""
    conditions: str
    """Model, parameters, replications, seed: the small print of picture and table."""
    draw: Callable[[], "Figure"]
    """Draws the picture, on paper of the colour that matplotlib's active style has."""

    @property
    def figure(self) -> "Figure":
        """The picture, drawn anew."""
        return self.draw()

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline reproduce`, but for the figure's name and its files."""
        return {
            "title": self.title,
            "claims": [claim.to_dict() for claim in self.claims],
            "conditions": self.conditions,
        }
