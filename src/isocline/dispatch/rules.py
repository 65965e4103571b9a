"""Rules of the core: retries, pipelining, relief behind stragglers, and copies of these."""

import math
from dataclasses import dataclass
from typing import final

from isocline.arguments import require_fields
from isocline.errors import UsageError


@final
@dataclass(frozen=True)
class Rules:
    """All rules; the defaults suit tasks of milliseconds to minutes."""

    retries: int = 0
    """Retries of a task that raised or took too long. One whose server died is always run again."""
    most_killed: int = 3
    """Workers that may die while they run one task before it is quarantined."""
    holder_grace: float = 15.0
    """Time that a task waits for a holder when the last one is gone, s."""
    idle_grace: float = 10.0
    """Time that tasks wait while all servers are idle and the policy starts none of them, before
    they are given up, s; inf: for ever, as a policy needs that waits for more tasks to come."""
    measure: bool = True
    """Measure service rates, and let the policy go by them; else those given hold."""
    ahead_gap: float = 0.01
    """Pipeline tasks, where that gains more than it may lose (`core.kernels.pipelining`), only if
    servers are idle for this share of a local service between two tasks, and so lose that share of
    their capacity; inf: never."""
    fetch_ahead: int = 3
    """Tasks whose data one server fetches at once while it runs others, where the engine can: then
    helping does not keep it busy for longer (`core.kernels.prefetch`); 0: it reads in the task. On
    8 servers with a hot spot at 0.9 of capacity two gave a mean completion of 1.80 services, three
    1.74, four 1.73."""
    straggler: float = 2.0
    """Copy a task when its expected remaining time exceeds so many fresh runs; inf: never,
    as `Scheduler(copies=False)` has it, for tasks that must not run twice at once. From 2 on a copy
    saves work, though two servers run until the first is done (Mantri, Ananthanarayanan et al.,
    OSDI 2010, Section 5.2)."""
    relief: float = 2.0
    """Start a task elsewhere when its wait behind a straggler is expected to exceed so many runs
    there; inf: never. With 2 nothing changes where services are exponential and a remote one takes
    twice as long, as in the near-data paper: then one service is to come, whatever has passed."""

    def __post_init__(self) -> None:
        require_fields(self, "rules")
        if self.retries < 0:
            raise UsageError(
                f"rules: retries is {self.retries}; give a number of retries, 0 or more"
            )
        if self.most_killed < 1:
            raise UsageError(f"rules: most_killed is {self.most_killed}; give 1 worker or more")
        if not 0 <= self.holder_grace < math.inf:
            raise UsageError(f"rules: holder_grace is {self.holder_grace}; give seconds, 0 or more")
        if not self.idle_grace >= 0:
            raise UsageError(f"rules: idle_grace is {self.idle_grace}; give seconds, 0 or more")
        if not self.ahead_gap >= 0:
            raise UsageError(f"rules: ahead_gap is {self.ahead_gap}; give a share, 0 or more")
        if self.fetch_ahead < 0:
            raise UsageError(f"rules: fetch_ahead is {self.fetch_ahead}; give tasks, 0 or more")
        if not self.straggler >= 1:
            raise UsageError(f"rules: straggler is {self.straggler}; give a factor of 1 or more")
        if not self.relief >= 1:
            raise UsageError(f"rules: relief is {self.relief}; give a factor of 1 or more")
