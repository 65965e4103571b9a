"""Steady state of a run: its existence, and the warm-up to discard."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.errors import RunTooShortError, UsageError
from isocline.simulate.common.statistics.stability import Trend, trend
from isocline.simulate.common.statistics.warm_up import mser5
from isocline.simulate.routing.run_settings import Run

FloatArray = npt.NDArray[np.float64]

LEAST_COMPLETIONS = 100  # of a run that goes on; one that ends has the jobs that it has
MOST_REPLICATIONS = 1000


class Blocks(NamedTuple):
    """R replications of one policy, in n blocks each."""

    number: FloatArray  # (R, n) mean number in the system
    completions: npt.NDArray[np.int64]  # (R, n)
    arrivals: npt.NDArray[np.int64]  # (R, n)


def more_replications(widest: float, count: int, precision: float | None) -> int:
    """Replications that should bring the `widest` relative half-width of `count` to `precision`."""
    if precision is None or widest <= precision:
        return count
    # The half-width falls with the root of the count; a tenth more saves a further round.
    wanted = int(np.ceil(1.1 * count * (widest / precision) ** 2))
    return min(max(wanted, count + 2), 4 * count, MOST_REPLICATIONS)


def require_arrivals(came: int, run: Run, what: str) -> None:
    """Raise UsageError if nothing arrived in the measured part of a run."""
    if not came:
        raise UsageError(
            f"from {run.warmup or 0.0:g} s, where the warm-up ends, to {run.horizon:g} s no {what} "
            "come; give a shorter --warmup, or a longer --horizon"
        )


def grows(blocks: Blocks, run: Run) -> bool:
    """Whether the number in the system rises without end, under steady arrivals."""
    return trend(blocks.number[:, run.discarded_blocks :]) is Trend.GROWING


def discarded(run: Run, stable: Mapping[str, Blocks], steady: bool, what: str, remedy: str) -> int:
    """Blocks to discard: as given, or the most that MSER-5 asks for any policy.

    Args:
        run: Of all replications.
        stable: The policies with a steady state, by name.
        steady: Whether arrivals are, so that a number that still rises says: too short.
        what: Is counted: "jobs", "tasks".
        remedy: What else the user could do: "give ... or more" comes before it.

    Raises:
        RunTooShortError: There is no such number, or what it leaves is not steady, or too few
            completions.
    """
    longer = f"give --horizon {4 * run.horizon:.3g} or more{remedy}"
    skip = run.discarded_blocks
    if run.warmup is None:
        found = {name: mser5(blocks.number.mean(axis=0)) for name, blocks in stable.items()}
        for name, asked in found.items():
            if asked is None:
                raise RunTooShortError(
                    f"a run of {run.horizon:.4g} s is too short for {name}: by MSER-5 its warm-up "
                    f"is more than half of it; {longer}"
                )
        skip = max((asked for asked in found.values() if asked is not None), default=0)
    for name, blocks in stable.items():
        if steady and trend(blocks.number[:, skip:]) != Trend.STEADY:
            raise RunTooShortError(
                f"a run of {run.horizon:.4g} s is too short for {name}: the number of {what} is "
                f"still rising at its end; {longer}"
            )
        least = 1 if run.drain else LEAST_COMPLETIONS
        fewest = int(blocks.completions[:, skip:].sum(axis=1).min())
        came = int(blocks.arrivals[:, skip:].sum(axis=1).max())
        if fewest < least and came >= 100 * least:  # a longer run would not help
            raise RunTooShortError(
                f"hardly any {what} are completed under {name}: {fewest:,} in the measured part of "
                f"a replication, in which {came:,} come; give a lower --load, or more patience"
            )
        if fewest < least:
            raise RunTooShortError(
                f"only {fewest} {what} completed under {name} in the measured part of a "
                f"replication of {run.horizon:.4g} s, and a mean needs {LEAST_COMPLETIONS}; "
                f"{longer}"
            )
    return skip
