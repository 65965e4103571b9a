"""Figures and statements of the papers, made again: `isocline reproduce NAME`.

One module per figure, called as the figure is, with one function `reproduce(quick, seed) ->
Reproduction`. Nothing heavy is imported until a figure is made. Figures that answer questions of
our own are made in the same way, in `studies/` of a checkout.
"""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from isocline.errors import UsageError
from isocline.report.reproduce.reproduction import Claim as Claim
from isocline.report.reproduce.reproduction import Reproduction as Reproduction


@final
@dataclass(frozen=True)
class Figures:
    """Figures that one command makes, each by a module of one package."""

    command: str
    package: str
    summaries: Mapping[str, str]
    """What each shows, in one line, by name."""
    elsewhere: Mapping[str, str]
    """The command that makes a figure of another collection, by name."""

    def require(self, name: str) -> None:
        """Raise UsageError unless there is a figure of this name; the message has the nearest."""
        if name in self.summaries:
            return
        if name in self.elsewhere:
            raise UsageError(f"{name!r} is made elsewhere: {self.elsewhere[name]}")
        near = difflib.get_close_matches(name, self.summaries, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"no figure is called {name!r}; {hint}known: {', '.join(self.summaries)}")

    def make(self, name: str, *, quick: bool = False, seed: int = 0) -> Reproduction:
        """Make one figure with its data and what it says of its claims.

        Args:
            name: A key of `summaries`.
            quick: In seconds instead of a minute or a few, with wider intervals.
            seed: Key of all randomness.

        Raises:
            UsageError: There is no such figure.
            MissingExtraError: matplotlib is not installed.
        """
        self.require(name)
        module = importlib.import_module(f"{self.package}.{name.replace('-', '_')}")
        made: Reproduction = module.reproduce(quick, seed)
        return made


_STUDIES = ("gmsr-delay", "gmsr-layers", "gmsr-learning", "neardata-policies")
"""Figures in `studies`, which this package does not import: it is not installed with it."""

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
        "gmsr-anarchy": "Appendix A: routing by latency loses without bound",
        "neardata-fig1-2": "Figures 1 and 2: the algorithm, and the ideal load decomposition",
        "neardata-fig3": "Figure 3: completion time of local tasks first and JSQ-MaxWeight",
        "neardata-heavy": "Theorems 3 to 8: queues near capacity, and their collapse to a line",
    },
    elsewhere={
        name: f"it is a study of ours; run `python -m studies {name}` in a checkout of the source"
        for name in _STUDIES
    },
)
