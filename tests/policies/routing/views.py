"""Views of one frontend made by hand, for policies that read more than workloads."""

from typing import Any, final

import numpy as np
from hypothesis import strategies as st

from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve
from isocline.model.graph import CompatibilityGraph
from isocline.policies.parse import parse
from isocline.policies.routing.contract import Setting, View
from isocline.randomness.draws import stream

CURVES: tuple[Curve, ...] = (
    HyperbolicCurve(40.0, 12.0),
    HyperbolicCurve(6.0, 5.0),
    KneeCurve(20.0, 8.0, 3.0),
)
BACKENDS = 5
ROW = np.array([0, 1, 2, 0, 1], np.int32)
SETTING = Setting(CompatibilityGraph.from_neighbours(BACKENDS, [range(BACKENDS)]), CURVES, ROW)
CURVE_OF = [CURVES[row] for row in ROW]
CAPACITY = SETTING.capacities

WORKLOADS = st.lists(st.integers(0, 60), min_size=BACKENDS, max_size=BACKENDS)
PROMPT = 1000.0
# Few values, so that some are equal.
TOKENS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=BACKENDS, max_size=BACKENDS
).map(lambda pairs: [(500.0 * a, 500.0 * (a + b)) for a, b in pairs])
CACHED = st.lists(st.integers(0, 10), min_size=BACKENDS, max_size=BACKENDS).map(
    lambda tenths: [PROMPT * t / 10.0 for t in tenths]
)


@final
class Frontend:
    """A policy with the view of one frontend, whose edges are numbered as its backends."""

    def __init__(self, text: str, setting: Setting = SETTING):
        policy = parse(text)
        self.choose, self.observe = policy.functions()
        self.edges = np.arange(setting.graph.edges, dtype=np.int32)
        self.view = View(
            setting.graph.sink.copy(),
            np.zeros(setting.graph.sinks, np.int32),
            setting.row,
            np.ascontiguousarray(policy.table(setting, np.arange(512.0))),
            policy.parameter(setting),
            policy.memory(setting),
            policy.option(),
        )
        self.rng = stream(0)

    def holding(self, workload: Any) -> "Frontend":
        """With these jobs at the backends."""
        self.view.workload[:] = workload
        return self

    def asked(
        self, cached: Any, tokens: Any = ((0.0, 0.0),) * BACKENDS, prefix: float = 7.0
    ) -> "Frontend":
        """With a job of PROMPT tokens, of which so many are cached at each backend.

        `tokens` are those unread and held at each.
        """
        uncached = PROMPT - np.array(cached, dtype=np.float64)
        self.view = self.view._replace(
            work=np.column_stack((0.1 * uncached + 50.0, uncached)),
            job=np.array([PROMPT, 50.0, prefix]),
            tokens=np.array(tokens, dtype=np.float64),
        )
        return self

    def pick(self, now: float = 0.0, among: Any = None) -> int:
        """The backend chosen."""
        edges = self.edges if among is None else np.array(among, np.int32)
        return int(self.choose(edges, self.view, now, self.rng))

    def picks(self, count: int) -> Any:
        """How often each backend is chosen."""
        return np.bincount([self.pick() for _ in range(count)], minlength=self.edges.size)


def best(scores: Any) -> set[int]:
    """The backends with the least score."""
    found = np.array(scores, dtype=np.float64)
    return set(np.flatnonzero(found <= found.min() * (1.0 + 1e-12)).tolist())
