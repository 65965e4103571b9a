"""Tenants of a router, and the share of its service that each has had.

Start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, IEEE/ACM Trans. Netw. 5(5), 1997): a tenant
is charged for each request that is sent for it, by its work over the tenant's weight, and of the
tenants that wait the one that was charged least is next. One that begins to wait starts at the
charge of the request sent last: nobody saves up what it did not use. So of two tenants that wait
all the time, the services differ from the ratio of their weights by one request of each, however
many requests either of them has.

Work is counted in mean requests. What a request was is known at its end, where a learner measures
the work of requests (`request_cost`): the charge is corrected then.
"""

import re
from dataclasses import dataclass, field
from fnmatch import translate
from typing import final

from isocline.model.serving_settings import SharingRule

# Tenants that are remembered, whatever names clients give: 1 MB.
_MOST = 4096
# And counted by name; the rest are counted together. A metric's labels must not grow with what
# clients send.
_MOST_COUNTED = 100
OTHERS = "(others)"
_PATTERN = re.compile(r"[*?\[]")


@final
@dataclass(slots=True, eq=False)
class TenantCounts:
    """Counts of one tenant, or of several, ever."""

    weight: float | None = None  # None: they differ
    served: int = 0  # requests with a whole response and a status below 400
    work: float = 0.0  # of requests sent, in mean requests


@final
@dataclass(slots=True, eq=False)
class Tenant:
    """One tenant, by its name."""

    name: str
    weight: float = 1.0
    charged: float = 0.0  # mean requests over its weight, from a start that all tenants share
    waiting: int = 0  # requests held at the frontends
    counts: TenantCounts = field(default_factory=TenantCounts)


@final
class Tenants:
    """Tenants by name, with their weights.

    Attributes:
        apart: Whether tenants are told apart; else there is one, which is never charged.
        counts: Counts of those whose weights are given by name, of the first others, and of the
            rest together.
    """

    def __init__(self, rule: SharingRule | None) -> None:
        """Initialise; with `rule` None, or without tenants in it, all requests are of one."""
        self.apart = rule is not None and rule.tenant is not None
        weights = rule.weights.items() if rule is not None else ()
        self._by_name = dict(weights)
        self._weights = [(re.compile(translate(name)), weight) for name, weight in weights]
        self._known: dict[str, Tenant] = {}
        self._now = 0.0  # charge at which the last request was sent
        self._all = Tenant("")
        self.counts: dict[str, TenantCounts] = {}
        for name, weight in weights:
            if not _PATTERN.search(name):
                self.counts[name] = TenantCounts(weight)

    def named(self, name: str) -> Tenant:
        """Return the tenant of a name."""
        if not self.apart:
            return self._all
        tenant = self._known.get(name)
        if tenant is None:
            if len(self._known) >= _MOST:
                self._forget()
            weight = self._weight(name)
            counts = self._counted(name, weight)
            tenant = self._known[name] = Tenant(name, weight, self._now, counts=counts)
        return tenant

    def waits(self, tenant: Tenant) -> None:
        """One more of its requests waits."""
        if not tenant.waiting:
            tenant.charged = max(tenant.charged, self._now)
        tenant.waiting += 1

    def charge(self, tenant: Tenant) -> None:
        """Charge a tenant for a request of mean work, which is sent now."""
        if self.apart:
            self._now = max(tenant.charged, self._now)
            tenant.charged = self._now + 1.0 / tenant.weight
            tenant.counts.work += 1.0

    def served(self, tenant: Tenant) -> None:
        """One of its requests was served."""
        tenant.counts.served += 1

    def waiting(self) -> dict[str, int]:
        """Requests that wait, by the names in `counts`."""
        found: dict[str, int] = {}
        for name, tenant in self._known.items():
            if tenant.waiting:
                counted = name if name in self.counts else OTHERS
                found[counted] = found.get(counted, 0) + tenant.waiting
        return found

    def correct(self, tenant: Tenant, work: float) -> None:
        """Correct the charge for a request that was of so much work, in mean requests."""
        tenant.charged += (work - 1.0) / tenant.weight
        tenant.counts.work += work - 1.0

    def _counted(self, name: str, weight: float) -> TenantCounts:
        """Counts of a tenant: its own, as long as there are few."""
        counts = self.counts.get(name)
        if counts is None and len(self.counts) < _MOST_COUNTED:
            counts = self.counts[name] = TenantCounts(weight)
        if counts is None:
            counts = self.counts.setdefault(OTHERS, TenantCounts())
        return counts

    def _weight(self, name: str) -> float:
        if name in self._by_name:  # before any pattern that it meets
            return self._by_name[name]
        return next((weight for it, weight in self._weights if it.match(name)), 1.0)

    def _forget(self) -> None:
        """Forget tenants of whom nothing is to be remembered, or all that do not wait."""
        kept = {name: it for name, it in self._known.items() if it.charged > self._now}
        if len(kept) >= _MOST // 2:
            kept = {}
        kept.update({name: it for name, it in self._known.items() if it.waiting})
        self._known = kept
