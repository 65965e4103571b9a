"""Steady state of a run: its existence, and the warm-up to discard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, final

import numpy as np

from isocline.errors import RunTooShortError, UsageError
from isocline.simulate.common.measured import Blocks, blocks_of
from isocline.simulate.common.replication import Figures
from isocline.simulate.common.run_settings import SharedSettings
from isocline.simulate.common.statistics.stability import Trend, trend
from isocline.simulate.common.statistics.warm_up import settled, warm_up

LEAST_COMPLETIONS = 100  # of a run that goes on; one that ends has the jobs that it has
MOST_REPLICATIONS = 1000


def more_replications(widest: float, count: int, precision: float | None) -> int:
    """Replications that should bring the `widest` relative half-width of `count` to `precision`."""
    if precision is None or widest <= precision:
        return count
    # The half-width falls with the root of the count; a tenth more saves a further round.
    wanted = int(np.ceil(1.1 * count * (widest / precision) ** 2))
    return min(max(wanted, count + 2), 4 * count, MOST_REPLICATIONS)


def require_arrivals(came: int, settings: SharedSettings, what: str) -> None:
    """Raise UsageError if nothing arrived in the measured part of a run."""
    if not came:
        raise UsageError(
            f"from {settings.warmup or 0.0:g} s, where the warm-up ends, to "
            f"{settings.horizon:g} s no {what} come; give a shorter --warmup, or a longer --horizon"
        )


F = TypeVar("F", bound=Figures)


@final
@dataclass(frozen=True, eq=False)
class Verdict(Generic[F]):
    """Policies that have a steady state, or are followed to their end; by name."""

    stable: Mapping[str, Sequence[F]]  # their replications
    skip: int  # blocks of the warm-up that all have in common


def verdict_on(
    kept: Mapping[str, Sequence[F]],
    settings: SharedSettings,
    *,
    may_grow: bool,
    steady: bool,
    words: tuple[str, str],
) -> Verdict[F]:
    """Separate unstable policies from stable ones, and find the common warm-up.

    Args:
        kept: Replications by policy.
        settings: Of all replications.
        may_grow: Whether a number that rises without end says: unstable.
        steady: Whether arrivals are, so that a number that still rises says: too short.
        words: As `discarded` has them.

    Raises:
        RunTooShortError: As `discarded`.
    """
    blocks = {
        name: blocks_of(reps)
        for name, reps in kept.items()
        if not any(rep.exploded for rep in reps)
    }
    stable = {
        name: found for name, found in blocks.items() if not (may_grow and grows(found, settings))
    }
    skip = discarded(settings, stable, steady, *words)
    return Verdict({name: kept[name] for name in stable}, skip)


def grows(blocks: Blocks, settings: SharedSettings) -> bool:
    """Whether the number in the system rises without end, under steady arrivals."""
    return trend(blocks.number[:, settings.discarded_blocks :]) is Trend.GROWING


def _warm_up(blocks: Blocks) -> int | None:
    """Blocks to discard of one policy: the number in the system settles, and so do latencies.

    The latter later, where a few backends are much slower than others: at a time t no job of a
    latency above t has been completed, however long the number has been steady.
    """
    of_number = warm_up(blocks.number)
    if of_number is None:
        return None
    return max(of_number, settled(blocks.sojourn, blocks.timed))


def _longer(settings: SharedSettings, times: float, remedy: str) -> str:
    """Remedy for a run that is too short: one so many times as long."""
    return f"give --horizon {times * settings.horizon:.3g} or more{remedy}"


def discarded(
    settings: SharedSettings, stable: Mapping[str, Blocks], steady: bool, what: str, remedy: str
) -> int:
    """Blocks to discard: as given, or the most that MSER-5 asks for any policy.

    Args:
        settings: Of all replications.
        stable: The policies with a steady state, by name.
        steady: Whether arrivals are, so that a number that still rises says: too short.
        what: Is counted: "jobs", "tasks".
        remedy: What else the user could do: "give ... or more" comes before it.

    Raises:
        RunTooShortError: There is no such number, or what it leaves is not steady, or too few
            completions.
    """
    longer = _longer(settings, 4.0, remedy)
    skip = settings.discarded_blocks
    if settings.warmup is None:
        found = {name: _warm_up(blocks) for name, blocks in stable.items()}
        for name, asked in found.items():
            if asked is None:
                raise RunTooShortError(
                    f"a run of {settings.horizon:.4g} s is too short for {name}: by MSER-5 its "
                    f"warm-up is more than half of it; {longer}, or say by --warmup what to discard"
                )
        skip = max((asked for asked in found.values() if asked is not None), default=0)
    for name, blocks in stable.items():
        if steady and trend(blocks.number[:, skip:]) != Trend.STEADY:
            raise RunTooShortError(
                f"a run of {settings.horizon:.4g} s is too short for {name}: the number of {what} "
                f"is still rising at its end; {longer}"
            )
        least = 1 if settings.drain else LEAST_COMPLETIONS
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
                f"replication of {settings.horizon:.4g} s, and a mean needs {LEAST_COMPLETIONS}; "
                f"{_longer(settings, max(4.0, 2.0 * LEAST_COMPLETIONS / max(fewest, 1)), remedy)}"
            )
    return skip
