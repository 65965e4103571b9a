"""Differences between two decision makers on the same events."""

from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True)
class DecisionDiff:
    """Live core compared with the simulator, decision by decision."""

    kind: str  # of system
    policy: str
    decisions: int
    first_difference: int | None  # number of the decision, from 0

    @property
    def agreed(self) -> bool:
        """Whether all decisions were the same."""
        return self.first_difference is None

    def to_dict(self) -> dict[str, Any]:
        """Convert to the document of `isocline replay --json`."""
        return {
            "kind": self.kind,
            "policy": self.policy,
            "decisions": self.decisions,
            "agreed": self.agreed,
            "first_difference": self.first_difference,
        }
