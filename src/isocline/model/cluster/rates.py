"""Service rates by the distance between a server and the data."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from isocline.arguments import require_fields
from isocline.errors import UsageError


@final
@dataclass(frozen=True)
class Rates:
    """Service rates of a server for local, rack-local and remote tasks: local > rack > remote > 0.

    The near-data paper's alpha and gamma (Section 2), with the intermediate rate ("rack-local")
    that Section 1.1 names and leaves out. Tasks/s in continuous time; on the slotted clock,
    the probability that a task in service completes in a slot.
    """

    local: float
    remote: float
    rack: float | None = None
    """None: a server of the data's rack is as remote as any other."""

    def __post_init__(self) -> None:
        require_fields(self, "rates")
        named = (("local", self.local), ("rack", self.rack), ("remote", self.remote))
        given = {name: rate for name, rate in named if rate is not None}
        for name, rate in given.items():
            if not (math.isfinite(rate) and rate > 0):
                problem = f"{name} rate is {rate:g}; give a finite number above 0"
                raise UsageError(problem).within(name)
        for near, far in pairwise(given):
            if not given[near] > given[far]:
                raise UsageError(
                    f"{near} rate is {given[near]:g} and {far} rate {given[far]:g}; "
                    "give local > rack > remote"
                ).within(far)

    @property
    def levels(self) -> tuple[float, float, float]:
        """Rates for data on the server, in its rack, elsewhere."""
        return self.local, self.remote if self.rack is None else self.rack, self.remote

    @property
    def slowdown(self) -> float:
        """How many times longer a remote task takes: the paper's threshold T_s, alpha / gamma."""
        return self.local / self.remote

    def require_slotted(self) -> None:
        """Check that the rates can be probabilities.

        Raises:
            UsageError: The local rate, the largest, is above 1.
        """
        if self.local > 1.0:
            raise UsageError(
                f"local rate is {self.local:g}; on the slotted clock rates are probabilities "
                "per slot, so give at most 1, or use the continuous clock"
            )
