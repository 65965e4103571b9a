"""The slotted clock: the length of a slot, and the law of departures in it.

GMSR paper, Section 3. Departures need E[D] = l(N) * slot <= N at every whole N. As l is concave and
l(0) = 0, l(N) / N falls, so N = 1 decides: slot <= 1 / l(1). Bernoulli departures need
l(N) * slot <= 1 at every N: slot <= 1 / sup l. In the system scaled by c (Section 5) a slot lasts
1 / c as long, and c l(N / c) stands for l.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.simulate.common.run_settings import CLOCKS, Clock
from isocline.simulate.routing.kernels.departures import LAWS, Law
from isocline.simulate.routing.prepare import laws_of

FloatArray = npt.NDArray[np.float64]

USUAL = 1.0  # s: rates are per slot in the paper
# What is admitted but for rounding is admitted.
ROUNDING = 1e-9


@final
@dataclass(frozen=True)
class Slots:
    """Settings of the slotted clock."""

    length: float  # s, of one slot of the system that is simulated
    law: Law  # of the departures

    @property
    def source(self) -> str:
        """Describe arrivals and departures."""
        law = self.law if self.law == "binomial" else self.law.capitalize()
        return f"Poisson arrivals and {law} departures in slots of {self.length:.6g} s"


def slots(
    system: RoutingSystem,
    scale: float = 1.0,
    slot: float | None = None,
    law: Law | None = None,
) -> Slots:
    """Slots of `system.enlarged(scale)`.

    Args:
        system: The system before it is scaled.
        scale: c; slots last 1 / c as long.
        slot: Length of a slot at scale 1, s; by default 1 s, or where that is not admitted the
            longest of 1, 2, 5 x 10^-k that is.
        law: By default Bernoulli where it is admitted, else binomial.

    Raises:
        UsageError: The slot is not admitted (names the backend and the longest that is), the law is
            unknown, or arrivals or sizes are not those of the slotted model.
    """
    if laws := laws_of(system):
        raise UsageError(f"slotted clock: its model has no {laws}; use --clock continuous")
    if law is not None and law not in LAWS:
        raise UsageError(f"departures {law!r}: give one of {', '.join(LAWS)}")
    enlarged = system.enlarged(scale)
    whole = scale / np.array([float(curve.rate(1.0)) for curve in enlarged.curves])
    single = scale / enlarged.capacities
    if slot is None:
        slot = _usual(float((single if law == "bernoulli" else whole).min()))
    if not 0 < slot < float("inf"):
        raise UsageError(f"slot {slot:g} s: give a finite time above 0")
    if law is None:
        law = "bernoulli" if _admits(single, slot) else "binomial"
    _require_admitted(system, single if law == "bernoulli" else whole, slot, law)
    return Slots(slot / scale, law)


def slots_of(
    clock: Clock,
    system: RoutingSystem,
    scale: float = 1.0,
    slot: float | None = None,
    law: Law | None = None,
) -> Slots | None:
    """`slots`, or None for continuous time.

    Raises:
        UsageError: As `slots`; or an option is the other clock's.
    """
    if clock not in CLOCKS:
        raise UsageError(f"clock {clock!r}: give one of {', '.join(CLOCKS)}")
    if clock == "slotted":
        return slots(system, scale, slot, law)
    for name, value in (("slot", slot), ("departures", law)):
        if value is not None:
            raise UsageError(f"{name} {value}: only the slotted clock has it; add --clock slotted")
    return None


def _usual(longest: float) -> float:
    """The longest of 1, 2, 5 x 10^-k s, at most 1 s, that is not above `longest`."""
    power = 10.0 ** np.floor(np.log10(min(longest, USUAL) * (1.0 + ROUNDING)))
    fitting = [step * power for step in (1.0, 2.0, 5.0) if step * power <= longest * (1 + ROUNDING)]
    return float(min(max(fitting), USUAL))


def _admits(longest: FloatArray, slot: float) -> bool:
    return bool(np.all(slot <= longest * (1.0 + ROUNDING)))


def _require_admitted(system: RoutingSystem, longest: FloatArray, slot: float, law: Law) -> None:
    if _admits(longest, slot):
        return
    worst = int(np.argmin(longest))
    why = "more than one job" if law == "bernoulli" else "more jobs than it holds"
    other = ", or --departures binomial" if law == "bernoulli" else ""
    digit = 10.0 ** (np.floor(np.log10(longest[worst])) - 2.0)  # rounded down to three digits
    advised = digit * np.floor(longest[worst] / digit * (1.0 + ROUNDING))
    raise UsageError(
        f"slot {slot:g} s: backend {system.backends[worst].name!r} would finish {why} in a slot; "
        f"give --slot {advised:g} or less{other}"
    )
