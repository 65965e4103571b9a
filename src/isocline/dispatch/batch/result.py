"""Result of a batch, as a frozen record."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from isocline.dispatch.batch.ended import Failure
from isocline.dispatch.explain import Explanation
from isocline.dispatch.node_use import node_rows
from isocline.dispatch.run_statistics import RunStatistics
from isocline.dispatch.timeline import Timeline
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd


@final
@dataclass(frozen=True)
class BatchResult(Record):
    """A run of a batch, to its end or as far as it came. Times in s."""

    kind: ClassVar[str] = "run"
    picture: ClassVar[str] = "timeline_plot:batch_plot"
    name: str
    policy: str
    statistics: RunStatistics
    failures: tuple[Failure, ...]
    explanation: Explanation
    timeline: Timeline
    interrupted: bool  # by Ctrl-C
    unanswered: int = 0  # chunks that have neither a result nor a failure
    problem: str | None = None  # with the journal or the output

    @property
    def status(self) -> str:
        """How the run ended.

        done: each chunk has a result; failed: each has a result or a failure; incomplete: some have
        neither; interrupted: the same by Ctrl-C.
        """
        if self.interrupted:
            return "interrupted"
        if self.unanswered:
            return "incomplete"
        return "failed" if self.failures else "done"

    def nodes(self) -> list[dict[str, Any]]:
        """One row for each node: what it ran, and the share of the time that it was busy."""
        return node_rows(self.timeline.ran)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `isocline run --json`, without results."""
        return {
            "kind": self.kind,
            "status": self.status,
            "name": self.name,
            "policy": self.policy,
            "unanswered": self.unanswered,
            "problem": self.problem,
            "statistics": self.statistics.to_dict(),
            "nodes": self.nodes(),
            "failures": [failure._asdict() for failure in self.failures],
            "explanation": self.explanation.to_dict(),
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each node, as `nodes`."""
        return data_frame(self.nodes()).set_index("node")
