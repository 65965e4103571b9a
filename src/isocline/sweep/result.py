"""Results of a sweep."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from isocline.measurements import MeasuredCurve, MeasuredPoint
from isocline.record import Record
from isocline.sweep.decide import Level, Stop, Why

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@final
@dataclass(frozen=True)
class Visited:
    """One stay at a concurrency."""

    workload: int
    began: float  # s from the start
    seconds: float  # in all
    rate: float | None  # of the curve's unit per second; None: it does not count
    error: float | None  # standard error
    completions: float
    failures: dict[str, int]  # by kind
    trouble: str  # why it does not count; "": it counts
    note: str = ""  # what its reader should know though it counts


@final
@dataclass(frozen=True)
class SweepResult(Record):
    """A measured curve, and how it was measured."""

    picture: ClassVar[str] = "plots.measured:measured_plot"
    words: ClassVar[str] = "tables.sweep:sweep_report"
    url: str
    model: str
    curve: MeasuredCurve
    visits: tuple[Visited, ...]
    stopped: Stop
    interrupted: bool
    seconds: float  # s in all
    limit: float  # s that were given
    precision: float  # that was asked for
    prompt_tokens: float | None  # mean, as the server counts; None: it does not say
    output_tokens: float  # mean

    @property
    def reached(self) -> bool:
        """Whether the interval is as narrow as was asked."""
        return not self.interrupted and self.stopped.why is Why.NARROW

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "measured-curves",
            "curves": [self.curve.to_dict()],
            "sweep": {
                "url": self.url,
                "model": self.model,
                "seconds": self.seconds,
                "limit": self.limit,
                "precision": self.precision,
                "reached": self.reached,
                "interrupted": self.interrupted,
                "stopped": self.stopped.why.name.lower(),
                "unreached": self.stopped.unreached,
                "widest": {"half_width": self.stopped.width, "workload": self.stopped.where},
                "prompt_tokens": self.prompt_tokens,
                "output_tokens": self.output_tokens,
                "visits": [asdict(one) for one in self.visits],
            },
        }

    def plot(self) -> "Figure":
        """The picture of the curve."""
        return self.curve.plot()

    def to_frame(self) -> "pd.DataFrame":
        """One row for each level that counts."""
        return self.curve.to_frame()


def points_of(levels: Sequence[Level]) -> list[MeasuredPoint]:
    """Measured points of levels."""
    return [
        MeasuredPoint(
            workload=level.rate.workload,
            rate=level.rate.rate,
            error=level.rate.error,
            completions=level.rate.completions,
            seconds=level.rate.seconds,
            source=f"N = {level.workload}",
        )
        for level in sorted(levels)
    ]
