"""The papers' figures, made again: `isocline reproduce NAME`.

One file per figure, with one function `reproduce(quick, seed) -> Reproduction`; here is who they
are. Nothing heavy is imported until a figure is made.
"""

import difflib
import importlib
from collections.abc import Callable
from typing import NamedTuple, cast

from isocline.errors import UsageError
from isocline.report.reproduce.reproduction import Claim as Claim
from isocline.report.reproduce.reproduction import Reproduction as Reproduction

_Make = Callable[[bool, int], Reproduction]


class Entry(NamedTuple):
    """A figure that can be reproduced."""

    module: str  # of this package
    summary: str  # one line


FIGURES: dict[str, Entry] = {
    "gmsr-tiers": Entry("gmsr_tiers", "Figures 1 to 4: tiers and the TierGraph of a small example"),
    "gmsr-fig7": Entry("gmsr_fig7", "Figure 7: scaled paths of the N-model and their fluid limit"),
    "gmsr-fig8": Entry("gmsr_fig8", "Figure 8: workloads about the equal-gradient curve"),
    "gmsr-rate": Entry("gmsr_rate", "Theorem 3: time to the optimum, in two phases"),
    "gmsr-vs-latency": Entry("gmsr_vs_latency", "all policies against load, beside the bound"),
    "gmsr-delay": Entry("gmsr_delay", "late news: GMSR herds, and a policy that looks ahead"),
    "gmsr-layers": Entry("gmsr_layers", "routers behind routers: GMSR at two layers, against flat"),
    "gmsr-learning": Entry("gmsr_learning", "GMSR that learns the service curves, and a slowdown"),
    "gmsr-changes": Entry(
        "gmsr_changes", "an optimum that moves: other arrivals, another graph, other speeds"
    ),
    "gmsr-anarchy": Entry("gmsr_anarchy", "Appendix A: routing by latency loses without bound"),
    "neardata-fig1-2": Entry(
        "neardata_fig1_2", "Figures 1 and 2: the algorithm, and the ideal load decomposition"
    ),
    "neardata-fig3": Entry(
        "neardata_fig3", "Figure 3: completion time of local tasks first and JSQ-MaxWeight"
    ),
    "neardata-heavy": Entry(
        "neardata_heavy", "Theorems 3 to 8: queues near capacity, and their collapse to a line"
    ),
    "neardata-policies": Entry(
        "neardata_policies", "all scheduling policies against load, with and without racks"
    ),
}


def entry(name: str) -> Entry:
    """The figure of this name.

    Raises:
        UsageError: There is none.
    """
    if name in FIGURES:
        return FIGURES[name]
    near = difflib.get_close_matches(name, FIGURES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"no figure is called {name!r}; {hint}known: {', '.join(FIGURES)}")


def reproduce(name: str, *, quick: bool = False, seed: int = 0) -> Reproduction:
    """Make one figure with its data and what it says of the paper's claims.

    Args:
        name: A key of `FIGURES`.
        quick: In seconds instead of a minute or a few, with wider intervals.
        seed: Key of all randomness.

    Raises:
        UsageError: There is no such figure.
        MissingExtraError: matplotlib is not installed.
    """
    module = importlib.import_module(f"{__name__}.{entry(name).module}")
    return cast(_Make, module.reproduce)(quick, seed)
