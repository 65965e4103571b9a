"""Rules of the core: holding, ejection, retries."""

import math
from dataclasses import dataclass, field
from typing import Literal, final

from isocline.errors import UsageError

# That one refusal ejects a backend which refuses as its peers do. Of three backends, loaded alike,
# one that refuses everything is out after 7 refusals, of two after 10. In 54 simulations of 20 000
# requests each (three loads; like and unlike backends), of which a twentieth, a third or two thirds
# were bad ones, at random, in turns, by sevens or in bursts, it ejected none; 1e-4 did twice.
CHANCE = 1e-5


@final
@dataclass(frozen=True)
class HoldingRule:
    """Holding: requests wait at their frontend while all its backends are at their peak."""

    seconds: float = 30.0  # s, then 504
    most: int = 1024  # requests at each frontend, then 503

    def __post_init__(self) -> None:
        _require_time("holding", "seconds", self.seconds)
        if self.most < 0:
            raise UsageError(f"holding: most is {self.most}; give a number of requests, 0 or more")


@final
@dataclass(frozen=True)
class EjectionRule:
    """Ejection of a backend that fails, as Envoy's outlier detection does.

    After `failures` in a row, or where a share of `rate` of at least `least` requests within
    `window` failed: no connection, a broken or late response, or 502, 503, 504. It stays out for
    `first` s, and twice as long each time it fails again soon after, up to `longest`. A frontend
    keeps at least `floor` of its backends that are up.

    A backend that refuses (4xx, 500 and others) what its peers accept is ejected as well, if its
    refusals would be chance with a probability of at most `chance` (`peer_comparison`).
    """

    failures: int = 5
    rate: float = 0.5
    least: int = 20  # requests: at 0.5 a backend that fails a fifth is thrown out once in 1800
    window: float = 10.0  # s
    first: float = 5.0  # s
    longest: float = 300.0  # s
    floor: float = 0.5
    chance: float = CHANCE

    def __post_init__(self) -> None:
        for name in ("window", "first", "longest"):
            _require_time("ejection", name, getattr(self, name))
        for name in ("failures", "least"):
            if getattr(self, name) < 1:
                raise UsageError(f"ejection: {name} is {getattr(self, name)}; give 1 or more")
        _require_share("ejection", "rate", self.rate)
        _require_share("ejection", "floor", self.floor)
        _require_share("ejection", "chance", self.chance)


@final
@dataclass(frozen=True)
class RefusalRule:
    """Limits on a backend that reports itself full (`concurrency_limits`).

    If `too_many_requests` is `client`, 429 concerns one client, as with a quota for each key, and
    is a refusal like any other 4xx: one client must not close a backend for all.
    """

    first: float = 1.0  # s, a pause after a refusal that names no time, by a backend without jobs
    # s, the longest of such pauses, and of those that a backend asks for: as long as a request may
    # be held by default, so that those held when it closes may still be served.
    longest: float = 30.0
    too_many_requests: Literal["backend", "client"] = "backend"

    def __post_init__(self) -> None:
        for name in ("first", "longest"):
            _require_time("refusals", name, getattr(self, name))
        if self.first > self.longest:
            raise UsageError(
                f"refusals: first is {self.first} and longest is {self.longest}; "
                "give a first pause that is not above the longest"
            )


@final
@dataclass(frozen=True)
class RetryRule:
    """Limits on retries, as Finagle's retry budget has them.

    Within any `window`, retries are at most `share` of the requests and `least` per second more, so
    that a failing fleet does not get several times the load.
    """

    attempts: int = 3  # of one request, the first included
    share: float = 0.2
    least: float = 1.0  # retries/s
    window: float = 10.0  # s

    def __post_init__(self) -> None:
        _require_time("retries", "window", self.window)
        _require_share("retries", "share", self.share)
        if self.attempts < 1:
            raise UsageError(
                f"retries: attempts is {self.attempts}; give 1 for no retries, or more"
            )
        if not 0 <= self.least < math.inf:
            raise UsageError(f"retries: least is {self.least}; give a rate per second, 0 or more")


@final
@dataclass(frozen=True)
class Rules:
    """All rules; the defaults suit a fleet on one network."""

    holding: HoldingRule = field(default_factory=HoldingRule)
    ejection: EjectionRule = field(default_factory=EjectionRule)
    retries: RetryRule = field(default_factory=RetryRule)
    refusals: RefusalRule = field(default_factory=RefusalRule)
    # s, after which a report says nothing and own counts are all there is. Polls come about every
    # second; after ten of them the backend's metrics are taken to be gone.
    oldest_report: float = 10.0
    stop_at_peak: bool = True  # hold rather than send past the last point of a measured curve
    # A backend that comes back holds at most one job more than it has finished since, until that is
    # so many: its load doubles in each service time at most. 0 for no such limit.
    slow_start: int = 0

    def __post_init__(self) -> None:
        _require_time("rules", "oldest_report", self.oldest_report)
        if self.slow_start < 0:
            raise UsageError(f"rules: slow_start is {self.slow_start}; give 0 for none, or more")


def _require_time(rule: str, name: str, seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise UsageError(f"{rule}: {name} is {seconds}; give a time in seconds above 0")


def _require_share(rule: str, name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise UsageError(f"{rule}: {name} is {share}; give a share from 0 to 1")
