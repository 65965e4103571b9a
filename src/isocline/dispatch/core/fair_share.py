"""Fair share of the servers: rows of jobs in the policy state, and their numbers of tasks."""

from typing import final

from isocline.dispatch.core.policy_state import PolicyState
from isocline.errors import UsageError


@final
class FairShares:
    """Rows of jobs. A job without tasks keeps its row and history until another job needs the row.

    Attributes:
        policy_state: Policy state with the rows; replaced by `move_to`.
    """

    def __init__(self, policy_state: PolicyState) -> None:
        self.policy_state = policy_state
        self._row: dict[int, int] = {}  # job -> row; jobs without tasks for longest are first
        self._tasks: list[int] = [0]
        self._weight: dict[int, float] = {}

    def set_weight(self, job: int, weight: float) -> None:
        """Set a job's weight, relative to others; 1 by default.

        Raises:
            UsageError: The weight is not a number above 0.
        """
        if not 0 < weight < float("inf"):
            raise UsageError(f"job {job}: weight {weight}; give a finite number above 0")
        self._weight[job] = weight
        if job in self._row:
            self.policy_state.state.fair_share.weight[self._row[job]] = weight

    def enter(self, job: int) -> int:
        """Count a new task of a job; returns the job's row."""
        row = self._row.get(job)
        if row is None:
            row = self._row[job] = self._free_row()
            fair_share = self.policy_state.state.fair_share
            fair_share.weight[row] = self._weight.get(job, 1.0)
            fair_share.served[row] = 0.0
        self._tasks[row] += 1
        return row

    def leave(self, row: int) -> None:
        """Count an ended task."""
        self._tasks[row] -= 1

    def _free_row(self) -> int:
        if len(self._row) < len(self._tasks):
            return len(self._row)
        for job, row in self._row.items():
            if not self._tasks[row]:
                del self._row[job]
                return row
        self._tasks += [0] * len(self._tasks)
        self.policy_state.set_jobs(len(self._tasks))
        return len(self._row)

    def move_to(self, policy_state: PolicyState) -> None:
        """Switch to the rows of another policy state."""
        fair_share = self.policy_state.state.fair_share
        if fair_share.served.size > 1:
            policy_state.set_jobs(fair_share.served.size)
        policy_state.state.fair_share.served[:] = fair_share.served
        policy_state.state.fair_share.weight[:] = fair_share.weight
        policy_state.share_costs(self.policy_state)
        self.policy_state = policy_state
