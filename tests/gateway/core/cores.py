"""Cores for tests, and what to do with them."""

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.model.curves import Curve, HyperbolicCurve, TableCurve
from isocline.model.serving_settings import Rules
from isocline.policies.parse import parse
from tests.builders import fleet

FAST, SLOW = HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)
SMALL = TableCurve(((1, 1.0), (2, 1.5), (4, 1.2)))  # at its peak with 2 jobs


def core(
    *curves: Curve,
    policy: str = "gmsr",
    neighbours: list[list[int]] | None = None,
    **rules: object,
) -> Core:
    rows = neighbours or [list(range(len(curves)))]
    system = fleet(curves, [0.1] * len(rows), rows)
    return core_of(system, parse(policy), rules=Rules(**rules))  # type: ignore[arg-type]


def sent(made: Core, count: int, now: float = 0.0, frontend: int = 0) -> list[Send]:
    actions = [made.arrived(now, frontend) for _ in range(count)]
    assert all(isinstance(action, Send) for action in actions)
    return actions  # type: ignore[return-value]
