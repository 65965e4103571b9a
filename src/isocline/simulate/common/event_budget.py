"""Number of events of a simulation, and refusal before the start if it is too large.

A run must be the longer the nearer the load is to 1, and the more jobs a backend needs to be busy:
without limit. Its events are known in advance, to some percent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from isocline.errors import OverBudgetError
from isocline.plural import counted

BUDGET = 2e10
"""Events of all replications of all policies: a quarter of an hour on two cores."""

# Of one core that times every job. An order of magnitude: policies and machines differ.
_EVENTS_PER_SECOND = 1e7


@final
@dataclass(frozen=True)
class Budget:
    """Events of one replication of one policy, and the limit on all of them."""

    events: float  # of one replication of one policy
    horizon: float  # of one, in `unit`
    policies: int
    most: float = BUDGET
    unit: str = "s"
    length_is_given: bool = True  # and not what is usual at this load

    def allow(self, replications: int) -> None:
        """Raise OverBudgetError if so many replications of each policy take too many events."""
        total = self.events * self.policies * replications
        if total <= self.most:
            return
        fits = self.horizon * self.most / total
        usual = "" if self.length_is_given else ", which the latencies at this load ask for"
        horizon, budget = _digits(fits, 2, math.floor), _digits(total, 1, math.ceil)
        raise OverBudgetError(
            f"{replications} replications of {self.horizon:.3g} {self.unit} for each of "
            f"{counted(self.policies, 'policy', 'policies')}{usual}: about {total:.1e} events, "
            f"{_time(total)} of one core, and the budget is {self.most:.0e}; give a lower --load, "
            f"--horizon {horizon}, fewer policies or replications, or --budget {budget}"
        )


def _time(events: float) -> str:
    hours = events / _EVENTS_PER_SECOND / 3600
    if hours < 72:
        return f"{hours:.2g} hours"
    days = hours / 24
    if days < 730:
        return f"{days:.0f} days"
    years = days / 365.25
    return f"{years:.0f} years" if years < 1000 else "more than 1,000 years"


def _digits(value: float, digits: int, toward: Callable[[float], float]) -> str:
    """A number above 0 that is rounded up or down: advice that is followed must do."""
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    # A number that has so few digits must not become another by the rounding of the quotient.
    return f"{toward(round(value / unit, 9)) * unit:.{digits}g}"
