"""Set-up of a scheduler: less common settings, its rules, its engine, and its prior rates."""

import difflib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from isocline.arguments import POSITIVE, at_least, in_one_line, require_fields
from isocline.dispatch.engines.base import Engine
from isocline.dispatch.rules import Rules
from isocline.errors import UsageError
from isocline.model.cluster import Rates

# Prior: a remote task takes twice as long as a local one, as in Section 6 of the near-data paper;
# one in the rack of its data lies half way between. The assumed 1 s of a local task matters only
# for how soon idle nodes take tasks that wait behind a hanging one before any task has ended. If
# tasks take longer, such help gains nothing, but costs little: by that slowdown, a remote run on an
# idle node takes as long as two local ones.
_SLOWDOWN = 2.0


@final
@dataclass(frozen=True)
class Settings:
    """Less common settings of a `Scheduler`.

    Attributes:
        grace: Time that running tasks have to end when an exception leaves the `with` block, s.
        rates: Rates by locality level until they are measured, tasks/s; by default, a remote task
            is assumed to take twice as long as a local one.
        remember: Number of attempts that `records` keeps.
    """

    grace: float = 5.0
    rates: Rates | None = None
    remember: int = 100_000

    def __post_init__(self) -> None:
        require_fields(self, "settings", grace=POSITIVE, remember=at_least(0))


def rules_of(
    rules: Rules | None, retries: int | None, holder_grace: float | None, copies: bool | None
) -> Rules:
    """Return `rules`, by default the standard ones, with the other arguments, where given."""
    chosen = rules or Rules()
    given: dict[str, Any] = {"retries": retries, "holder_grace": holder_grace}
    if copies is False:
        given["straggler"] = math.inf
    elif copies and chosen.straggler == math.inf:
        given["straggler"] = Rules.straggler
    return replace(chosen, **{name: value for name, value in given.items() if value is not None})


def prior(racks: int) -> Rates:
    """Rates until they are measured, by the number of racks of the engine."""
    return Rates(1.0, 1.0 / _SLOWDOWN, None if racks == 1 else _SLOWDOWN**-0.5)


def engine_of(engine: str | Engine, everywhere: bool, options: Mapping[str, Any]) -> Engine:
    """Return a given engine, or make one by name with options.

    Raises:
        UsageError: The name is unknown, or options are given for an existing engine.
        MissingExtraError: The engine's library is not installed.
    """
    if not isinstance(engine, str):
        if options:
            raise UsageError(
                f"scheduler: {', '.join(options)}: pass these to the engine where it is made"
            )
        if not all(hasattr(engine, name) for name in ("start", "run", "cancel", "close")):
            raise UsageError(
                f"scheduler: engine is {in_one_line(engine)}; give processes, ray, dask, or an "
                "engine of isocline.dispatch.engines"
            )
        return engine
    if engine == "processes":
        from isocline.dispatch.engines.processes import ProcessEngine  # noqa: PLC0415

        _require_options(engine, ProcessEngine, options)
        return ProcessEngine(everywhere=everywhere, **options)
    if engine == "ray":
        from isocline.dispatch.engines.ray import RayEngine  # noqa: PLC0415

        _require_options(engine, RayEngine, options)
        return RayEngine(**options)
    if engine == "dask":
        from isocline.dispatch.engines.dask import DaskEngine  # noqa: PLC0415

        _require_options(engine, DaskEngine, options)
        return DaskEngine(**options)
    raise UsageError(f"scheduler: unknown engine {engine!r}; give processes, ray, dask, or one")


# Names of the number of processes in other schedulers.
_ALSO_CALLED = dict.fromkeys(
    ("workers", "max_workers", "n_workers", "num_workers", "processes", "num_cpus"), "nodes"
)


def _require_options(name: str, engine: type[Engine], options: Mapping[str, Any]) -> None:
    """Raise UsageError for an unknown option of the engine."""
    known = [option for option in inspect.signature(engine).parameters if option != "everywhere"]
    for option in options:
        if option in known:
            continue
        close = difflib.get_close_matches(option, known, n=1)
        likely = [one for one in (_ALSO_CALLED.get(option), *close) if one in known]
        hint = f" (did you mean {likely[0]!r}?)" if likely else ""
        raise UsageError(
            f"scheduler: engine {name} has no option {option!r}{hint}; it has {', '.join(known)}"
        )
