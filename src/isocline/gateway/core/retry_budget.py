"""Retry budget: a share of recent requests, and a few more.

Finagle's RetryBudget, with an exponential window in place of buckets: each request adds `share` of
a retry, `least` more come in a second, each retry takes one, and all fade with time constant
`window`. Requests cost nothing here: they are counted by the core, and only a retry does sums.
"""

import math
from typing import final

from isocline.model.serving_settings import RetryRule


@final
class RetryBudget:
    """Budget that starts with what `least` alone would have saved up."""

    def __init__(self, rule: RetryRule):
        self.rule = rule
        self.balance = rule.least * rule.window  # retries
        self._time = -math.inf
        self._requests = 0

    def take(self, attempts: int, now: float, requests: int) -> bool:
        """Spend a retry at `now`, s, on a request that was sent so often; whether that is allowed.

        `requests` is the number of arrivals so far.
        """
        self._save(now, requests)
        if attempts >= self.rule.attempts or self.balance < 1.0:
            return False
        self.balance -= 1.0
        return True

    def _save(self, now: float, requests: int) -> None:
        rule = self.rule
        came, self._requests = requests - self._requests, requests
        passed = min(max(now - self._time, 0.0) / rule.window, 700.0)
        self._time = max(now, self._time)
        kept = math.exp(-passed)
        # Requests that came evenly over the time have faded by this on average.
        even = (1.0 - kept) / passed if passed > 0.0 else 1.0
        self.balance *= kept
        self.balance += rule.share * came * even + rule.least * rule.window * (1.0 - kept)
