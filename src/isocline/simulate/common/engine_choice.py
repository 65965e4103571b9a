"""Choice of an engine: each declares which features it runs, and the first that runs all is taken.

A list of engines is in order of speed. A combination that none runs is refused by one message,
which names the smallest part of it that is too much, and how to leave each feature out.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from itertools import combinations
from typing import Generic, NamedTuple, TypeVar, final

from isocline.errors import UsageError


@final
class Feature(Enum):
    """Feature that a run may ask of its engine: name in messages, and remedy."""

    LATENCIES = "latencies of jobs", "leave out percentiles"
    CONTINUOUS = "the continuous clock", "give --clock slotted"
    SLOTTED = "the slotted clock", "give --clock continuous"
    TRACE = "a trace", "leave the trace out"
    LAWS = (
        "arrivals that are not Poisson or sizes that are not exponential",
        "give Poisson arrivals at constant rates and exponential sizes",
    )
    VARIANCE = "arrivals of a given variance", "leave their variance out"
    HOLDING = "policies that hold jobs", "leave those policies out"
    DELAY = "delay", "leave out --delay"
    LEARNING = "learned curves", "leave out --learn"
    PATIENCE = "patience", "give --patience none"
    FAILURES = "failures", "leave out --failure"
    CHANGES = "a fleet that changes", "leave out --then and --failure"
    SLOWDOWNS = "slowdowns", "leave out --slowdown"
    LAYERS = "layers", "leave out --layers"
    CACHES = "prefix caches", "leave prefix_cache out of the system"
    MODELS = "models that backends load", "leave models, or each memory, out of the system"
    ZONES = "distances of zones", "leave serve.distance out of the system"
    FCFS = "discipline fcfs", "give --discipline ps"
    LISTED = "arrivals listed in advance", "leave out what needs them"

    @property
    def words(self) -> str:
        """Name in messages."""
        return self.value[0]

    @property
    def remedy(self) -> str:
        """Advice on leaving it out."""
        return self.value[1]


T = TypeVar("T")


@final
class EngineKind(NamedTuple, Generic[T]):
    """An engine, and features that it runs together."""

    make: Callable[..., T]  # of a run; imports the engine's kernels
    runs: frozenset[Feature]


Asked = Mapping[Feature, str]
"""Features of a run, and what brings each, in words."""


def asked(features: Mapping[Feature, bool | str]) -> dict[Feature, str]:
    """Features that are true, in their own words, or in those given."""
    return {
        feature: of if isinstance(of, str) else feature.words
        for feature, of in features.items()
        if of
    }


def chosen(kinds: Sequence[EngineKind[T]], wanted: Asked) -> Callable[..., T]:
    """Make of the first engine that runs all features.

    Raises:
        UsageError: None does.
    """
    for kind in kinds:
        if wanted.keys() <= kind.runs:
            return kind.make
    raise UsageError(_refusal(kinds, wanted))


def _refusal(kinds: Sequence[EngineKind[T]], wanted: Asked) -> str:
    apart = next(
        some
        for size in range(1, len(wanted) + 1)
        for some in combinations(wanted, size)
        if not any(kind.runs.issuperset(some) for kind in kinds)
    )
    first, *others = [wanted[feature] for feature in apart]
    remedies = ", or ".join(feature.remedy for feature in apart)
    if not others:
        return f"{first} cannot be simulated; {remedies}"
    which = "of the two" if len(others) == 1 else "of them"
    return (
        f"{first} cannot be simulated with {' and '.join(others)}; leave one {which} out: "
        f"{remedies}"
    )
