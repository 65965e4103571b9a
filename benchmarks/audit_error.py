"""What the error of an audit's saving is made of: `python -m benchmarks.audit_error`.

The fleets of `benchmarks.audit_virtual`. The learned curves are replaced by the true ones, first
where the log has a backend nine tenths of its time, then everywhere else, then both: what error
remains comes from the other part, or from the simulation. The last two rows are the posterior
means of the log's completions, the one that `isocline audit` has, and that of a method that knows
from what distribution these very curves are drawn, and that work is exponential: its mean square
error is the least of all methods, by Bayes' theorem. `--first`, `--fleets` draw others.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.audit_virtual import GOAL, Case, case, truth
from isocline.audit.evidence import Evidence, posterior
from isocline.audit.frontends import LoggedFrontends, frontends_by_edges
from isocline.audit.gap import learned_system
from isocline.audit.learned import CurveLearning, LearnedFleet
from isocline.audit.reading import read_log
from isocline.audit.records import AccessRecords
from isocline.audit.replayed import PolicyReplay
from isocline.audit.workloads import BLOCKS, occupied
from isocline.learn.draws import drawn_curves
from isocline.learn.fit import Prior
from isocline.learn.known import Known
from isocline.learn.shapes import binned, shapes
from isocline.model.curves import Curve, TableCurve
from tests.audit.virtual_router import written

FloatArray = npt.NDArray[np.float64]

FLEETS, DRAWS = 20, 20
_LEVELS = np.unique(np.r_[1:65, np.round(64.0 * 1.06 ** np.arange(1, 50))]).astype(np.float64)
_STEP = 2.0**0.125  # half of that between knees
_EXACT = Prior(completions=1.0)


def spliced(inside: Curve, outside: Curve, low: int, high: int) -> TableCurve:
    """One curve between two workloads, and beyond them the other, scaled to meet it."""
    low = max(low, 1)
    below = float(inside.rate(low) / outside.rate(low)) * outside.rate(_LEVELS)
    above = float(inside.rate(high) / outside.rate(high)) * outside.rate(_LEVELS)
    rate = np.where(low > _LEVELS, below, np.where(high < _LEVELS, above, inside.rate(_LEVELS)))
    return TableCurve(tuple(zip(_LEVELS.tolist(), rate.tolist(), strict=True)))


def usual(known: Known) -> tuple[int, int]:
    """Workloads between which a backend is nine tenths of the time that it has jobs."""
    share = np.cumsum(known.seconds[1:])
    low, high = np.searchsorted(share, np.array([0.05, 0.95]) * share[-1]) + 1
    return int(low), int(high)


def recipe() -> FloatArray:
    """(G,) ln probability of the shapes by which `audit_virtual.case` draws curves."""
    grid = shapes()
    knee = (grid.knee > 3.0 / _STEP) & (grid.knee < 24.0 * _STEP)
    # Half of them have 1; the others are uniform between 1.5 and 4, here at the nearest of a grid.
    share = {1.0: 0.5, 1.4: 0.04, 2.0: 0.14, 2.8: 0.2, 4.0: 0.12}
    sharpness = np.array([share.get(float(it), 0.0) for it in grid.sharpness])
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(knee * sharpness))


def informed(known: Known, unit: float, rng: np.random.Generator) -> Sequence[Curve]:
    """Curves drawn from the posterior of a method that knows the recipe."""
    done, spent = binned(known.completions), binned(known.seconds)
    seen = np.flatnonzero(spent)
    grid = shapes()
    exposure = grid.value[:, seen] @ spent[seen]
    found = Evidence(grid.log_value[:, seen] @ done[seen], float(done.sum()), exposure)
    log, completions, exposure = posterior(found, _EXACT, unit)
    return drawn_curves(log - _EXACT.log_density + recipe(), completions, exposure, DRAWS, rng)


class Judged:
    """One fleet's log, and the saving by given curves."""

    def __init__(self, found: Case, folder: Path, seed: int) -> None:
        records = read_log([written(found.jobs, folder / "log.csv")]).records
        there = occupied(records)
        self.records: AccessRecords = records
        self.frontends: LoggedFrontends = frontends_by_edges(records, ["*=*"])
        self.learning = CurveLearning(records, there)
        self.replay = PolicyReplay(records, self.frontends, there, ["gmsr_secant"])
        self.rates = np.array([found.load * sum(it.supremum for it in found.curves)])
        self.seed = seed
        order = [int(name.split(".")[-1].split(":")[0]) for name in records.backends]
        self.true = [found.curves[b] for b in order]
        self.truth = 100.0 * truth(found, self.replay.chosen.kept.size)

    def savings(self, fleets: Sequence[Sequence[Curve]], believed: Sequence[Curve]) -> FloatArray:
        """Points that are saved on each of some fleets."""
        made = [LearnedFleet(tuple(it), np.ones(BLOCKS)) for it in fleets]
        systems = [
            (learned_system(self.records, self.frontends, it, self.rates, "log"), it) for it in made
        ]
        (run,) = self.replay.run(LearnedFleet(tuple(believed), np.ones(BLOCKS)), systems, self.seed)
        return np.asarray(100.0 * (1.0 - run.means / self.replay.chosen.latency))

    def rows(self) -> dict[str, FloatArray]:
        """Savings of each row."""
        fits = self.learning.fits
        learned = [it.curve for it in fits]
        ends = [usual(it.known) for it in fits]
        rng = np.random.default_rng(self.seed)
        pairs = list(zip(self.true, learned, ends, strict=True))
        inside = [spliced(one, other, *end) for one, other, end in pairs]
        outside = [spliced(other, one, *end) for one, other, end in pairs]
        unit = float(np.mean([it.unit_rate for it in fits]))
        draws = [fleet.curves for fleet in self.learning.drawn(DRAWS, rng)]
        best = list(zip(*(informed(it.known, unit, rng) for it in fits), strict=True))
        return {
            "learned curves": self.savings([learned] * 2, learned),
            "true within what is seen": self.savings([inside] * 2, inside),
            "true outside it": self.savings([outside] * 2, outside),
            "true curves": self.savings([self.true] * 2, self.true),
            "true curves, routed by learned ones": self.savings([self.true] * 2, learned),
            "drawn curves, as in the audit": self.savings(draws, learned),
            "the recipe known": np.array([self.savings([it] * 2, it).mean() for it in best]),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--fleets", type=int, default=FLEETS)
    given = parser.parse_args()
    errors: dict[str, list[float]] = {}
    spread: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.first, given.first + given.fleets):
            judged = Judged(case(seed), Path(folder), seed)
            for name, savings in judged.rows().items():
                errors.setdefault(name, []).append(float(savings.mean()) - judged.truth)
                spread.setdefault(name, []).append(float(savings.std(ddof=1)))
    print(f"| curves | within {GOAL:g} points | mean | root mean square | spread of draws |")
    print("|---|---|---|---|---|")
    for name, found in errors.items():
        off = np.array(found)
        drawn = f"{np.mean(spread[name]):.1f}" if "drawn" in name or "recipe" in name else ""
        print(
            f"| {name} | {int((np.abs(off) <= GOAL).sum())} of {off.size} | {off.mean():+.1f} "
            f"| {np.sqrt((off**2).mean()):.1f} | {drawn} |"
        )


if __name__ == "__main__":
    main()
