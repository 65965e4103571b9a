"""Delays between frontends and backends: of jobs, and of reports on the way back.

The GMSR paper assumes neither and asks about both (Section 7).
"""

from dataclasses import dataclass, fields
from typing import Self, final

from isocline.arguments import NOT_NEGATIVE, require_fields
from isocline.errors import UsageError


@final
@dataclass(frozen=True)
class Delay:
    """Constant delays, s; all 0 as in the paper.

    A job is at its backend `travel` after it was sent, which counts in its latency. What happens at
    a backend is known to the frontends `report` later: every change, or, with `every` above 0, what
    was so at the last of the reports that each backend sends that far apart, in a phase of its own.
    """

    travel: float = 0.0
    report: float = 0.0
    every: float = 0.0
    own: bool = False
    """Whether a frontend adds to a report its own jobs that were not yet at the backend when it was
    written, and takes away its own that it knows to have ended since."""

    def __post_init__(self) -> None:
        require_fields(self, "delay", travel=NOT_NEGATIVE, report=NOT_NEGATIVE, every=NOT_NEGATIVE)

    @property
    def lag(self) -> float:
        """Longest time from a report to the arrival of a job sent on it, s."""
        return self.travel + self.report + self.every

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `travel=0.5,report=0.5,every=1,own=true`, as on the command line.

        Raises:
            UsageError: An unknown name, or a value that is not what its name needs.
        """
        known = {field.name: field.default for field in fields(cls)}
        given: dict[str, float | bool] = {}
        for item in text.split(","):
            name, _, value = item.strip().partition("=")
            if name not in known:
                raise UsageError(f"delay: {item!r}: give NAME=VALUE with {', '.join(known)}")
            given[name] = _own(value) if name == "own" else _seconds(name, value)
        return cls(**given)  # type: ignore[arg-type]


def _own(value: str) -> bool:
    if value not in ("true", "false"):
        raise UsageError(f"delay: own={value}: give true or false")
    return value == "true"


def _seconds(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"delay: {name}={value}: give a number of seconds") from None
