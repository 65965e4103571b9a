"""Set-up of a scheduler: seldom-used settings, its rules, its engine, and its first rates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from isocline.arguments import POSITIVE, at_least, in_one_line, require_fields
from isocline.dispatch.engines.base import Engine
from isocline.dispatch.rules import Rules
from isocline.errors import UsageError
from isocline.model.cluster import Rates

# A remote task is taken to take twice as long, as in Section 6 of the near-data paper, and one in
# the rack of its data to be half way between. How long a local one takes makes no difference to a
# decision.
_SLOWDOWN = 2.0


@final
@dataclass(frozen=True)
class Settings:
    """Settings of a `Scheduler` that are seldom changed."""

    grace: float = 5.0
    """Time that running tasks have to end when an exception leaves the `with` block, s."""
    rates: Rates | None = None
    """Rates near and far from the data before any is measured, tasks/s; by default a remote task is
    taken to take twice as long as a local one."""
    remember: int = 100_000
    """Number of attempts that `records` keeps."""

    def __post_init__(self) -> None:
        require_fields(self, "settings", grace=POSITIVE, remember=at_least(0))


def rules_of(
    rules: Rules | None, retries: int | None, holder_grace: float | None, copies: bool | None
) -> Rules:
    """Return `rules`, by default the standard ones, with the other arguments that are given."""
    chosen = rules or Rules()
    given: dict[str, Any] = {"retries": retries, "holder_grace": holder_grace}
    if copies is False:
        given["straggler"] = math.inf
    elif copies and chosen.straggler == math.inf:
        given["straggler"] = Rules.straggler
    return replace(chosen, **{name: value for name, value in given.items() if value is not None})


def prior(racks: int) -> Rates:
    """Rates before any is measured, by the number of racks of the engine."""
    return Rates(1.0, 1.0 / _SLOWDOWN, None if racks == 1 else _SLOWDOWN**-0.5)


def engine_of(engine: str | Engine, everywhere: bool, options: Mapping[str, Any]) -> Engine:
    """Return an engine given as such, or made by name with options, `Scheduler`'s among them.

    Raises:
        UsageError: There is none of that name, or options are given beside an engine.
        MissingExtraError: Its library is not installed.
    """
    if not isinstance(engine, str):
        if options:
            raise UsageError(
                f"scheduler: {', '.join(options)}: give these to the engine, which is there already"
            )
        if not all(hasattr(engine, name) for name in ("start", "run", "cancel", "close")):
            raise UsageError(
                f"scheduler: engine is {in_one_line(engine)}; give processes, ray, dask, or an "
                "engine of isocline.dispatch.engines"
            )
        return engine
    if engine == "processes":
        from isocline.dispatch.engines.processes import ProcessEngine  # noqa: PLC0415

        return ProcessEngine(everywhere=everywhere, **options)
    if engine == "ray":
        from isocline.dispatch.engines.ray import RayEngine  # noqa: PLC0415

        return RayEngine(**options)
    if engine == "dask":
        from isocline.dispatch.engines.dask import DaskEngine  # noqa: PLC0415

        return DaskEngine(**options)
    raise UsageError(f"scheduler: unknown engine {engine!r}; give processes, ray, dask, or one")
