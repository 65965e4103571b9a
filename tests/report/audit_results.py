"""An audit made by hand: every part, a policy that overloads, and advice of both kinds."""

import numpy as np

from isocline.audit.narrowing import Unknown
from isocline.audit.result import (
    Advice,
    Audit,
    AuditedBackend,
    AuditedFrontend,
    LogSummary,
    Part,
    PolicyAudit,
)
from isocline.learn import Interval, Known
from isocline.simulate.common.estimate import Estimate
from tests.builders import mixed


def near(value: float, share: float = 0.1) -> Estimate:
    return Estimate(value, (1.0 - share) * value, (1.0 + share) * value)


def audit(policies: int = 4, parts: bool = True) -> Audit:
    """Of this many policies, the last of which overloads; without parts there is no optimum."""
    n = np.arange(20.0)
    known = Known(np.round(40.0 * n / (n + 5.0)), np.ones(20))
    seconds = {"missing": 0.01, "routing": 0.02, "fluctuation": 0.03, "held": 0.0, "outside": -1e-4}
    given = ("gmsr_secant", "jsq", "power_of_d", "random", "weighted_least_connections")
    names = [*given[: policies - 1], "round_robin"] if policies else []
    latencies = np.append(np.linspace(0.12, 0.2, max(policies - 1, 0)), 90.0)
    made = mixed()
    return Audit(
        log=LogSummary(
            ("access.log",), ("nginx",), 5001, 1, "access.log:7: 'x'", 5000, 3, 4900, 60, 40, 5,
            100.0, (1, 3600.0), False, None,
        ),
        backends=tuple(
            AuditedBackend(b.name, 2400, 24.0, 4.0, 0.16, Interval(30.0, high), (1.0, 1.0), known)
            for b, high in zip(made.backends, (44.0, None), strict=True)
        ),
        frontends=(
            AuditedFrontend("f0", ("h/chat", "h/talk"), 12.0, ("b0", "b1")),
            AuditedFrontend("f1", ("h/code",), 8.0, ("b0",)),
        ),
        edges_from="log",
        latency=0.16,
        least=near(0.1) if parts else None,
        above=near(60.0) if parts else None,
        parts=tuple(Part(k, near(v), near(1000.0 * v)) for k, v in seconds.items())
        if parts
        else (),
        why_not="" if parts else "the load exceeds what b0 can serve",
        steady=True,
        replayed=4900,
        replayed_latency=0.16,
        replayed_p99=0.9,
        policies=tuple(
            PolicyAudit(name, near(float(at)), 5.0 * float(at), near(1.0 - float(at) / 0.16))
            for name, at in zip(names, latencies[-len(names) :] if names else (), strict=True)
        ),
        unknowns=(
            Unknown("b0", 0.6, 15.0, (3, 9), 0.04),
            Unknown("b1", 0.4, 4.0, (2, 6), 0.7),
        ),
        advice=(
            Advice("connection", ("f1", "b1"), near(0.01), near(10.0)),
            Advice("machine", ("b0",), near(0.005), near(5.0)),
        ),
        cautions=("Times are to the second.",),
        system=made,
    )  # fmt: skip
