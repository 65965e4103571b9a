"""Backends that refuse what their peers accept: shares of refusals compared within a frontend.

A refusal is a response with 4xx, 500 or another status that may be the request's fault. A client's
mistake is refused by whichever backend gets it, so the shares of one frontend's backends are alike
whatever clients do. They are compared by Fisher's exact test (R. A. Fisher, *Statistical
Methods for Research Workers*, 1934, Section 21.02): if all
backends refused alike, the number of refusals among one's responses would be hypergeometric.

Counts are of the last few hundred responses of a frontend, the older ones counting less: by number,
not by time, so that little traffic is compared as well as much.
"""

import math
from collections.abc import Sequence
from typing import final

from isocline.model.graph import CompatibilityGraph
from isocline.plural import counted

# Responses of a frontend that count, for each of its backends: a share is known to 5 % then, and a
# backend that begins to refuse after a long time of good service is detected after about ten.
REMEMBERED = 100.0
_LARGEST = 1e100  # weights are divided by it once they are above
_MORE_OFTEN = 2.0  # than its peers: below that a share may well be chance, and is no reason


@final
class PeerComparison:
    """Responses on each edge of a graph, accepted and refused."""

    def __init__(self, graph: CompatibilityGraph):
        self._sink: list[int] = graph.sink.tolist()
        first: list[int] = graph.first.tolist()
        self._edges = [range(first[f], first[f + 1]) for f in range(graph.sources)]
        self._responses = [0.0] * len(self._sink)
        self._refused = [0.0] * len(self._sink)
        # The newest counts most: weights grow, in place of all counts that fade.
        self._weight = [1.0] * graph.sources
        self._growth = [1.0 + 1.0 / (REMEMBERED * max(len(e), 1)) for e in self._edges]

    def accepted(self, frontend: int, edge: int) -> None:
        """Record a response that was no refusal."""
        self._responses[edge] += self._weigh(frontend)

    def refused(self, frontend: int, edge: int) -> None:
        """Record a refusal."""
        weight = self._weigh(frontend)
        self._responses[edge] += weight
        self._refused[edge] += weight

    def more_often(self, frontend: int, edge: int) -> bool:
        """Whether a backend refuses more than twice as often as its peers, as far as is known."""
        own, refused, peers, peers_refused = self._counts(frontend, edge)
        return refused * peers > _MORE_OFTEN * peers_refused * own if peers else True

    def chance(self, frontend: int, edge: int) -> float:
        """Probability of as many refusals at a backend that is like its peers."""
        own, refused, peers, peers_refused = self._counts(frontend, edge)
        if refused * peers <= peers_refused * own:
            return 1.0
        return hypergeometric_tail(round(refused), round(own), round(peers_refused), round(peers))

    def described(self, frontend: int, edge: int) -> str:
        """Describe the two shares."""
        own, refused, peers, peers_refused = map(round, self._counts(frontend, edge))
        asked = counted(own, "request")
        return f"it refused {refused} of {asked}, its peers {peers_refused} of {peers}"

    def forget(self, backend: int) -> None:
        """Forget all responses of a backend."""
        for edge, sink in enumerate(self._sink):
            if sink == backend:
                self._responses[edge] = self._refused[edge] = 0.0

    def _weigh(self, frontend: int) -> float:
        weight = self._weight[frontend] * self._growth[frontend]
        if weight > _LARGEST:
            weight /= _LARGEST
            for edge in self._edges[frontend]:
                self._responses[edge] /= _LARGEST
                self._refused[edge] /= _LARGEST
        self._weight[frontend] = weight
        return weight

    def _counts(self, frontend: int, edge: int) -> tuple[float, float, float, float]:
        """Return (responses, refused) of an edge, and (responses, refused) of its peers."""
        edges, weight = self._edges[frontend], self._weight[frontend]
        own, refused = self._responses[edge] / weight, self._refused[edge] / weight
        responses, all_refused = _sum(self._responses, edges), _sum(self._refused, edges)
        return own, refused, responses / weight - own, max(all_refused / weight - refused, 0.0)


def hypergeometric_tail(refused: int, own: int, peers_refused: int, peers: int) -> float:
    """P(X >= refused), X being the refusals among `own` of `own + peers` responses drawn at random.

    Of all these `refused + peers_refused` are refusals.
    """
    total, bad = own + peers, refused + peers_refused
    chance = 0.0
    for count in range(refused, min(own, bad) + 1):
        log = _log_choose(bad, count) + _log_choose(total - bad, own - count)
        term = math.exp(log - _log_choose(total, own))
        chance += term
        if term < 1e-3 * chance:  # and the next ones are smaller still
            break
    return min(chance, 1.0)


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


def _sum(values: Sequence[float], edges: range) -> float:
    total = 0.0
    for edge in edges:
        total += values[edge]
    return total
