"""Targets that a fleet must hold: a mean latency, a percentile of latency, or a load."""

import re
from dataclasses import dataclass
from typing import Literal, Self, final

from isocline.errors import UsageError

Quantity = Literal["mean", "p95", "p99", "load"]

_FORM = re.compile(
    r"\s*([a-z0-9]+)\s*(?:<=|≤|<)\s*([\d.]+(?:e[-+]?\d+)?)\s*([a-zµ]*)\s*", re.IGNORECASE
)
_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0}
_EXAMPLES = "give one as mean<=2s, p95<=800ms, p99<=5s or load<=0.8"


@final
@dataclass(frozen=True)
class Target:
    """`quantity <= limit`; latencies in s, a load as a share of the capacity."""

    quantity: Quantity
    limit: float

    @classmethod
    def parse(cls, text: str, place: str = "target") -> Self:
        """Read "mean<=2s", "p95<=800ms", "p99<=5" or "load<=0.8".

        Raises:
            UsageError: It is none of these.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"{place} {text!r}: is no target; {_EXAMPLES}")
        quantity, number, unit = match[1].lower(), match[2], match[3].lower()
        for known in ("mean", "p95", "p99", "load"):
            if quantity == known:
                break
        else:
            raise UsageError(f"{place} {text!r}: {quantity!r} is unknown; {_EXAMPLES}")
        try:
            value = float(number)
        except ValueError:  # 1.2.3
            raise UsageError(f"{place} {text!r}: {number!r} is no number; {_EXAMPLES}") from None
        if known == "load":
            if unit or not 0.0 < value <= 1.0:
                raise UsageError(
                    f"{place} {text!r}: a load is a share of the capacity; give a number above 0 "
                    "and at most 1, as load<=0.8"
                )
        elif unit not in _UNITS:
            raise UsageError(f"{place} {text!r}: {match[3]!r} is no unit; give s, ms or min")
        limit = value * _UNITS[unit]
        if not limit > 0.0:
            raise UsageError(f"{place} {text!r}: nothing is that fast; give a time above 0")
        return cls(known, limit)

    @property
    def share(self) -> float:
        """Share of the jobs that a percentile is of: 0.99 for p99."""
        return {"p95": 0.95, "p99": 0.99}[self.quantity]

    @property
    def is_percentile(self) -> bool:
        """Whether it is one of latency."""
        return self.quantity in ("p95", "p99")

    def __str__(self) -> str:
        if self.quantity == "load":
            return f"load <= {self.limit:g}"
        small = self.limit < 1.0
        limit = f"{self.limit * 1e3:g} ms" if small else f"{self.limit:g} s"
        return f"{self.quantity} <= {limit}"
