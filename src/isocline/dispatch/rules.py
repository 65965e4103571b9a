"""Rules of the core: retries, pipelining, relief and copies for stragglers."""

import math
from dataclasses import dataclass
from typing import final

from isocline.arguments import require_fields
from isocline.errors import UsageError


@final
@dataclass(frozen=True)
class Rules:
    """All rules; the defaults suit tasks of milliseconds to minutes.

    Attributes:
        retries: Retries of a task that raised an exception or exceeded its limit. A task whose
            worker died is always run again.
        most_killed: Workers that may die while running one task before it is quarantined.
        holder_grace: Time that a task waits for a holder after the last one was lost, s.
        idle_grace: Time after which waiting tasks are given up if all servers are idle and the
            policy starts none of them, s; inf: never, for policies that wait for further tasks.
        measure: Measure service rates for the policy; otherwise, the given rates are used.
        ahead_gap: Pipeline tasks only if servers would otherwise be idle for this share of a local
            service between two tasks, and where the gain exceeds the possible loss
            (`core.kernels.pipelining`); inf: never.
        fetch_ahead: Tasks whose data a server prefetches at a time while it runs others, if the
            engine supports that, so that helping does not keep it busy for longer
            (`core.kernels.prefetch`); 0: data is read within the task. On 8 servers with a hot spot
            at 0.9 of capacity, the mean completion was 1.80 services with 2, 1.74 with 3, and 1.73
            with 4.
        straggler: Copy a task when its expected remaining time exceeds this number of fresh runs;
            inf: never (`Scheduler(copies=False)`), for tasks that must not run twice at once. From
            2 on a copy saves work, although two servers run until the first is done (Mantri,
            Ananthanarayanan et al., OSDI 2010, Section 5.2). A copy only uses idle servers: it is
            stopped as soon as its server could run another task.
        relief: Start a task elsewhere when its expected wait behind a straggler exceeds this number
            of runs there, by measured times or, before any task has ended, by the given rates;
            inf: never. With 2, nothing changes if services are exponential and a remote service
            takes twice as long, as in the near-data paper: the expected remaining time is then
            always one service.
    """

    retries: int = 0
    most_killed: int = 3
    holder_grace: float = 15.0
    idle_grace: float = 10.0
    measure: bool = True
    ahead_gap: float = 0.01
    fetch_ahead: int = 3
    straggler: float = 2.0
    relief: float = 2.0

    def __post_init__(self) -> None:
        require_fields(self, "rules")
        if self.retries < 0:
            raise UsageError(f"rules: retries is {self.retries}; give a whole number, 0 or more")
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
