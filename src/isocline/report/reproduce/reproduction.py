"""Reproduction of a figure: picture, data, and the paper's claims beside measurements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


@final
@dataclass(frozen=True)
class Claim:
    """One statement of a paper, beside a measurement.

    Whether it holds is computed from the measurement, by a rule that a reader can check from
    `measured` (an interval, a tolerance).
    """

    claim: str
    source: str  # place in the paper: "Theorem 3"
    measured: str  # in words, with units and intervals
    holds: bool
    values: Mapping[str, float | Sequence[float]] = field(default_factory=dict)  # for machines

    @property
    def verdict(self) -> str:
        """Verdict in one word, for tables."""
        return "agrees" if self.holds else "disagrees"

    def to_dict(self) -> dict[str, Any]:
        """Entry of `claims` in the JSON document."""
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
    """Reproduction of one figure."""

    title: str
    claims: tuple[Claim, ...]
    tables: Mapping[str, Rows]
    """Data of each part, written to NAME-part.csv, or to NAME.csv for the part ""."""
    conditions: str
    """Model, parameters, replications, seed: the small print of picture and table."""
    draw: Callable[[], "Figure"]
    """Draws the picture, light or dark like matplotlib's active style."""
    printed: str | None = None
    """Part of `tables` whose rows are printed below the claims; None: none."""

    @property
    def figure(self) -> "Figure":
        """Draw the picture."""
        return self.draw()

    def to_dict(self) -> dict[str, Any]:
        """JSON document of `isocline reproduce`, without the figure's name and files."""
        return {
            "title": self.title,
            "claims": [claim.to_dict() for claim in self.claims],
            "conditions": self.conditions,
        }
