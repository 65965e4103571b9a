"""The routing model: frontends send jobs to backends whose rate depends on their workload.

GMSR paper, Section 3. Everything a verb needs of a `kind: routing` system file.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Self, final

import numpy as np
import numpy.typing as npt

from isocline.arguments import NOT_NEGATIVE, at_least, kind_of, require, require_fields
from isocline.errors import GraphError, UsageError
from isocline.model.curves import Curve, PoolCurve
from isocline.model.curves.own import require_usable
from isocline.model.graph import CompatibilityGraph
from isocline.model.residency import Catalogue, Model, require_residency
from isocline.model.traffic import Arrivals, ExponentialSizes, LawAt, Patience, Sizes, Trace
from isocline.model.traffic.own import require_arrivals, rescaled
from isocline.model.zones import level_of
from isocline.plural import counted
from isocline.record import brief, in_notebook
from isocline.user_code import is_own

FloatArray = npt.NDArray[np.float64]

# Of the fields of a frontend, of which there may be a hundred thousand.
_TEXT, _TEXT_IF_ANY, _WHOLE, _FROM_0 = kind_of(str), kind_of(str | None), kind_of(int), at_least(0)

BLOCK_SIZE = 16  # tokens in a block of a prefix cache, as vLLM has it unless it is given another


@final
@dataclass(frozen=True)
class Backend:
    """A server, or a replica set behind one queue; `url` is needed only to serve."""

    name: str
    curve: Curve
    url: str | None = None
    cache_tokens: int | None = None  # of prompts that its prefix cache holds; None: it has none
    memory: float | None = None  # for models, in the unit of their sizes; None: it holds them all
    resident: tuple[str, ...] = ()  # models that it has from the start, and never drops
    zone: str | None = None  # as `eu-1a`, or `REGION/ZONE`; None: near to all

    def __post_init__(self) -> None:
        require("backend name", self.name, kind_of(str))
        tokens = self.cache_tokens
        require(f"backend {self.name!r}: cache_tokens", tokens, kind_of(int | None), at_least(0))
        require(f"backend {self.name!r}: memory", self.memory, kind_of(float | None), NOT_NEGATIVE)
        require(f"backend {self.name!r}: url", self.url, kind_of(str | None))
        require(f"backend {self.name!r}: zone", self.zone, kind_of(str | None))
        if not isinstance(self.curve, Curve):
            raise UsageError(
                f"backend {self.name!r}: curve is {self.curve!r}; give a curve, such as "
                "isocline.HyperbolicCurve(peak=40.0, half=12.0)"
            )
        if is_own(type(self.curve)):
            require_usable(self.curve)


@final
@dataclass(frozen=True)
class Frontend:
    """A router with its own arrivals."""

    name: str
    arrivals: Arrivals
    model: str | None = None  # shell-style pattern of the models it takes: the label in a trace
    prefix: int = 0  # tokens that all its prompts begin with, as `plan` has them cached
    # Shares of its requests by the name, or pattern, of the model that they ask for; empty: all
    # that it takes, by their popularity.
    models: tuple[tuple[str, float], ...] = ()
    zone: str | None = None  # where its requests come from, as that of a backend

    def __post_init__(self) -> None:
        require("frontend name", self.name, _TEXT)
        label = f"frontend {self.name!r}"
        require(f"{label}: prefix", self.prefix, _WHOLE, _FROM_0)
        require(f"{label}: model", self.model, _TEXT_IF_ANY)
        require(f"{label}: zone", self.zone, _TEXT_IF_ANY)
        for name, share in self.models:
            require(f"{label}: share of model {name!r}", share, kind_of(float), NOT_NEGATIVE)
        require_arrivals(label, self.arrivals)

    def rescaled(self, how: Literal["sped_up", "enlarged"], factor: float) -> Self:
        """The same with arrivals of `factor` times the rate; raises UsageError if not so."""
        arrivals = rescaled(f"frontend {self.name!r}", self.arrivals, how, factor)
        return replace(self, arrivals=arrivals)


@final
@dataclass(frozen=True)
class Work:
    """How curves in units of work (tokens, say) per second apply to jobs.

    A request of a trace is prefill * prompt tokens + decode * output tokens of work, unless the
    trace says itself how much work it is; `mean` is the work of an average job. The default is
    curves in jobs/s.
    """

    unit: str = "jobs"
    mean: float = 1.0
    prefill: float = 0.0
    decode: float = 1.0

    def __post_init__(self) -> None:
        require_fields(self, "work")
        if not 0 < self.mean < float("inf"):
            raise UsageError(f"work: mean is {self.mean}; give a finite number above 0")
        for name, weight in (("prefill", self.prefill), ("decode", self.decode)):
            if not 0 <= weight < float("inf"):
                raise UsageError(f"work: {name} is {weight}; give a finite number, 0 or more")

    def of(self, trace: Trace) -> FloatArray:
        """(n,) work of each request of a trace, in `unit`."""
        if trace.work is not None:
            return trace.work
        return self.prefill * trace.prompt_tokens + self.decode * trace.output_tokens


@final
@dataclass(frozen=True)
class RoutingSystem:
    """Frontends (sources), backends (sinks), and the graph that connects them."""

    __repr__ = brief

    frontends: tuple[Frontend, ...]
    backends: tuple[Backend, ...]
    graph: CompatibilityGraph
    work: Work = field(default_factory=Work)
    sizes: Sizes = field(default_factory=ExponentialSizes)
    name: str = "system"
    trace: Trace | None = None  # the requests that the arrival rates are means of
    patience: Patience | None = None  # of jobs, in simulations; None: they stay until served
    block_size: int = BLOCK_SIZE  # tokens that prefix caches keep or drop together
    models: tuple[Model, ...] = ()  # that requests may ask for; none: any backend serves all
    # s that a job takes longer at a backend of another zone, and of another region; None: not
    # known, as a router measures them.
    distances: tuple[float, float] | None = (0.0, 0.0)

    def __post_init__(self) -> None:
        expected = (len(self.frontends), len(self.backends))
        if (self.graph.sources, self.graph.sinks) != expected:
            raise GraphError(
                f"graph joins {counted(self.graph.sources, 'frontend')} and "
                f"{counted(self.graph.sinks, 'backend')}; "
                f"the system has {expected[0]} and {expected[1]}"
            )
        if self.frontends and not any(f.arrivals.rate > 0 for f in self.frontends):
            raise UsageError("every arrival rate is 0; give at least one frontend a rate above 0")
        require("block_size", self.block_size, kind_of(int), at_least(1))
        for what, seconds in zip(("zone", "region"), self.distances or (0.0, 0.0), strict=True):
            require(f"distance of another {what}", seconds, kind_of(float), NOT_NEGATIVE)
        require_residency(self.models, self.backends)

    def _repr_html_(self) -> str:
        return in_notebook("system_html", self)

    @property
    def has_caches(self) -> bool:
        """Whether any backend has a prefix cache, be it of no tokens."""
        return any(backend.cache_tokens is not None for backend in self.backends)

    @property
    def has_residency(self) -> bool:
        """Whether any backend holds only some of the models that requests ask for."""
        return bool(self.models) and any(it.memory is not None for it in self.backends)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Each single model; raises UsageError if their number is not known."""
        return Catalogue.of(self.models)

    @cached_property
    def model_shares(self) -> FloatArray:
        """(F, M) share of each frontend's requests that ask for each model; rows sum to 1 or 0.

        Raises:
            UsageError: The number of models is not known, or a frontend names one that there is
                not.
        """
        rows = np.zeros((len(self.frontends), len(self.catalogue.models)))
        for f, frontend in enumerate(self.frontends):
            try:
                rows[f] = self.catalogue.shares(frontend.models, frontend.model)
            except UsageError as error:
                raise error.within("frontends", frontend.name) from None
        return rows

    @cached_property
    def rates(self) -> FloatArray:
        """(F,) mean arrival rate of each frontend, jobs/s."""
        return np.array([frontend.arrivals.rate for frontend in self.frontends])

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """Service curve of each backend in jobs/s: the file's curve over the mean work of a job."""
        if self.work.mean == 1.0:
            return tuple(backend.curve for backend in self.backends)
        return tuple(backend.curve.scaled(1.0 / self.work.mean) for backend in self.backends)

    @cached_property
    def ways(self) -> FloatArray:
        """(E,) s that a job takes longer by each edge; (0,) if none does, or it is not known."""
        zoned = any(backend.zone is not None for backend in self.backends)
        if self.distances is None or not any(self.distances) or not zoned:
            return np.zeros(0)
        by_level = (0.0, *self.distances)
        near = [frontend.zone for frontend in self.frontends]
        far = [backend.zone for backend in self.backends]
        edges = zip(self.graph.source.tolist(), self.graph.sink.tolist(), strict=True)
        found = np.array([by_level[level_of(near[f], far[b])] for f, b in edges])
        return found if found.any() else np.zeros(0)

    @cached_property
    def capacities(self) -> FloatArray:
        """(B,) supremum of each curve, jobs/s."""
        return np.array([curve.supremum for curve in self.curves])

    def sped_up(self, factor: float) -> Self:
        """All arrivals `factor` times as fast, the backends as they are."""
        frontends = tuple(f.rescaled("sped_up", factor) for f in self.frontends)
        trace = None if self.trace is None else self.trace.sped_up(factor)
        return replace(self, frontends=frontends, trace=trace)

    def with_arrivals(self, law: LawAt) -> Self:
        """Arrivals of one law at every frontend's own rate; raises UsageError if it has none."""
        return replace(
            self,
            frontends=tuple(
                replace(f, arrivals=law(f.arrivals.rate)) if f.arrivals.rate > 0 else f
                for f in self.frontends
            ),
        )

    def enlarged(self, factor: float) -> Self:
        """The scaled system of the GMSR paper, Section 5: rates times c, curves c l(N / c).

        Jobs are 1/c as large: divide its workloads by c to compare them with this system's. As c
        grows they follow the differential inclusion, Eq. (3), ever more closely (Theorem 1).

        Raises:
            UsageError: The factor is not a finite number above 0, a trace cannot be scaled, or a
                station would have a broken number of servers.
        """
        if not 0 < factor < float("inf"):
            raise UsageError(f"scale {factor:g}: give a finite number above 0")
        if factor == 1.0:
            return self
        frontends = tuple(f.rescaled("enlarged", factor) for f in self.frontends)
        backends = tuple(_enlarged(backend, factor) for backend in self.backends)
        return replace(self, frontends=frontends, backends=backends)

    def flattened(self) -> "Flattened":
        """Pools replaced by their members, `pool/1`, `pool/2`, ..., each for all its frontends.

        One layer only: a pool among the members stays one.
        """
        opened = [_opened(backend) for backend in self.backends]
        pool_of = np.repeat(np.arange(len(opened), dtype=np.int32), list(map(len, opened)))
        after = np.cumsum([0, *map(len, opened)])
        neighbours = [
            np.concatenate([np.arange(after[b], after[b + 1]) for b in self.graph.neighbours(f)])
            for f in range(len(self.frontends))
        ]
        backends = tuple(backend for members in opened for backend in members)
        graph = CompatibilityGraph.from_neighbours(len(backends), neighbours)
        return Flattened(replace(self, backends=backends, graph=graph), pool_of)

    def with_edge(self, frontend: int, backend: int) -> Self:
        """The same system with one more connection."""
        return replace(self, graph=self.graph.with_edge(frontend, backend))


@final
@dataclass(frozen=True, eq=False)
class Flattened:
    """A system whose pools were replaced by their members: B' backends in place of B."""

    system: RoutingSystem
    pool_of: npt.NDArray[np.int32]  # (B',) the pooled system's backend that each one was part of


def _opened(backend: Backend) -> tuple[Backend, ...]:
    if not isinstance(backend.curve, PoolCurve):
        return (backend,)
    members = backend.curve.members
    held = backend.cache_tokens
    each = None if held is None else held // len(members)
    return tuple(
        Backend(
            f"{backend.name}/{i}",
            curve,
            None,
            each,
            backend.memory,
            backend.resident,
            backend.zone,
        )
        for i, curve in enumerate(members, start=1)
    )


def _enlarged(backend: Backend, factor: float) -> Backend:
    try:
        return replace(backend, curve=backend.curve.enlarged(factor))
    except UsageError as error:
        raise UsageError(f"backend {backend.name!r}: {error}") from None
