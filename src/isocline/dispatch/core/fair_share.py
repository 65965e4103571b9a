"""Fair share of the servers: rows of the jobs in the policy state, and their numbers of tasks."""

from typing import final

from isocline.dispatch.core.policy_state import PolicyState
from isocline.errors import UsageError


@final
class FairShares:
    """Rows of jobs. A job without tasks keeps its row, and its past, until another job needs it.

    Attributes:
        board: Policy state that has the rows; another one after `moved`.
    """

    def __init__(self, board: PolicyState) -> None:
        self.board = board
        self._row: dict[int, int] = {}  # job -> row; those without tasks longest stand first
        self._tasks: list[int] = [0]
        self._weight: dict[int, float] = {}

    def weigh(self, job: int, weight: float) -> None:
        """Set a job's weight, relative to others; 1 by default.

        Raises:
            UsageError: The weight is not a number above 0.
        """
        if not 0 < weight < float("inf"):
            raise UsageError(f"job {job}: weight {weight}; give a finite number above 0")
        self._weight[job] = weight
        if job in self._row:
            self.board.book.turns.weight[self._row[job]] = weight

    def enter(self, job: int) -> int:
        """Count a task of a job; returns the job's row."""
        row = self._row.get(job)
        if row is None:
            row = self._row[job] = self._free_row()
            self.board.book.turns.weight[row] = self._weight.get(job, 1.0)
            self.board.book.turns.served[row] = 0.0
        self._tasks[row] += 1
        return row

    def leave(self, row: int) -> None:
        """Count a task that has ended."""
        self._tasks[row] -= 1

    def correct(self, row: int, function: int, seconds: float) -> None:
        """Correct the charge of a task, made at its start, from its expected to its real time."""
        turns = self.board.book.turns
        turns.served[row] += (seconds - self.board.floor.cost[function]) / turns.weight[row]

    def _free_row(self) -> int:
        if len(self._row) < len(self._tasks):
            return len(self._row)
        for job, row in self._row.items():
            if not self._tasks[row]:
                del self._row[job]
                return row
        self._tasks += [0] * len(self._tasks)
        self.board.set_jobs(len(self._tasks))
        return len(self._row)

    def moved(self, board: PolicyState) -> None:
        """Use the rows of another policy state from now on."""
        turns = self.board.book.turns
        if turns.served.size > 1:
            board.set_jobs(turns.served.size)
        board.book.turns.served[:] = turns.served
        board.book.turns.weight[:] = turns.weight
        board.floor = board.floor._replace(cost=self.board.floor.cost)
        self.board = board
