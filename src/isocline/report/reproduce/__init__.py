"""Reproduction of the papers' figures and statements: `isocline reproduce NAME`.

Each figure has a module of its name, with a function `reproduce(quick, seed) -> Reproduction`.
Nothing heavy is imported until a figure is made. Our own studies are made in the same way, in
`studies/` of a checkout.
"""

import difflib
import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from isocline.errors import UsageError
from isocline.report.reproduce.reproduction import Claim as Claim
from isocline.report.reproduce.reproduction import Reproduction as Reproduction

if TYPE_CHECKING:
    from isocline.model.traffic import Trace


@final
@dataclass(frozen=True)
class Figures:
    """Figures of one command, each made by a module of a package."""

    command: str
    package: str
    summaries: Mapping[str, str]
    """One line on the content of each figure, by name."""
    elsewhere: Mapping[str, str]
    """Commands that make figures of other collections, by name."""
    replays: Collection[str] = ()
    """Figures that can also replay given traces."""

    def require(self, name: str) -> None:
        """Raise UsageError for an unknown figure; the message suggests the nearest name."""
        if name in self.summaries:
            return
        if name in self.elsewhere:
            raise UsageError(f"{name!r} is made elsewhere: {self.elsewhere[name]}")
        near = difflib.get_close_matches(name, self.summaries, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"no figure is called {name!r}; {hint}known: {', '.join(self.summaries)}")

    def require_replay(self, name: str) -> None:
        """Raise UsageError unless the figure can replay traces."""
        if name not in self.replays:
            listed = ", ".join(self.replays) or "none"
            raise UsageError(f"--trace does not apply to {name}; it does to: {listed}")

    def make(
        self, name: str, *, quick: bool = False, seed: int = 0, traces: "Sequence[Trace]" = ()
    ) -> Reproduction:
        """Make one figure, with its data and claims.

        Args:
            name: Key of `summaries`.
            quick: Whether to make it in seconds instead of minutes, with wider intervals.
            seed: Seed of all random numbers.
            traces: Additional traces to replay, for figures in `replays`.

        Raises:
            UsageError: The figure is unknown, or cannot replay traces.
            MissingExtraError: matplotlib is not installed.
        """
        self.require(name)
        module = importlib.import_module(f"{self.package}.{name.replace('-', '_')}")
        if traces:
            self.require_replay(name)
        more = {"traces": traces} if traces else {}
        made: Reproduction = module.reproduce(quick, seed, **more)
        return made


_STUDIES = ("gmsr-delay", "gmsr-layers", "gmsr-learning", "neardata-policies")
"""Figures in `studies`, which is not installed with this package and so not imported."""

PAPERS = Figures(
    "isocline reproduce",
    __name__,
    {
        "gmsr-tiers": "Figures 1 to 4: tiers and the TierGraph of a small example",
        "gmsr-fig7": "Figure 7: scaled paths of the N-model and their fluid limit",
        "gmsr-fig8": "Figure 8: workloads about the equal-gradient curve",
        "gmsr-rate": "Theorem 3: time to the optimum, in two phases",
        "gmsr-vs-latency": "Lemma 1: all policies against load, beside the bound",
        "gmsr-changes": "Section 1.1: an optimum that moves, as arrivals, graph or speeds change",
        "gmsr-overload": "Version 3: what is served, stays stable and piles up in overload",
        "gmsr-anarchy": "Appendix A: routing by latency loses without bound",
        "neardata-fig1-2": "Figures 1 and 2: the algorithm, and the ideal load decomposition",
        "neardata-fig3": "Figure 3: completion time of local tasks first and JSQ-MaxWeight",
        "neardata-heavy": "Theorems 3 to 8: queues near capacity, and their collapse to a line",
        "arena": "ours: every policy on five fleets under steady, bursty and daily traffic",
    },
    replays=("arena",),
    elsewhere={
        name: f"it is a study of ours; run `python -m studies {name}` in a checkout of the source"
        for name in _STUDIES
    },
)
