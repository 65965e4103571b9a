"""Schema of system files. Each record checks itself and builds its part of the model.

pydantic checks types and bounds of single values; what relates several (names, patterns, a curve's
shape) is checked where the model is built.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, final

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from isocline.errors import UsageError
from isocline.model import traffic
from isocline.model.fleet import BLOCK_SIZE, Work
from isocline.model.match import Match
from isocline.model.residency import Model
from isocline.model.systemfile.backend_schema import BackendEntry
from isocline.model.systemfile.document import Document
from isocline.model.systemfile.problems import report
from isocline.model.systemfile.record import (
    Group,
    Name,
    NotNegative,
    Number,
    OwnRecord,
    Pair,
    Positive,
    Record,
    SettingsRecord,
    later,
    or_own,
)
from isocline.user_code import made

if TYPE_CHECKING:
    from isocline.model.systemfile.discovery_schema import DiscoverEntry
    from isocline.model.systemfile.serving_schema import ServeEntry
else:
    DiscoverEntry = later("isocline.model.systemfile.discovery_schema", "DiscoverEntry")
    ServeEntry = later("isocline.model.systemfile.serving_schema", "ServeEntry")


class Exponentially(Record):
    """Exponential sizes."""

    type: Literal["exponential"]

    def make(self) -> traffic.Sizes:
        return traffic.ExponentialSizes()


class Deterministic(Record):
    """Equal sizes."""

    type: Literal["deterministic"]

    def make(self) -> traffic.Sizes:
        return traffic.DeterministicSizes()


class Lognormal(Record):
    """Log-normal sizes."""

    type: Literal["lognormal"]
    cv: Positive

    def make(self) -> traffic.Sizes:
        return traffic.LognormalSizes(self.cv)


class Hyperexponential(Record):
    """Sizes from a mixture of two exponentials."""

    type: Literal["hyperexponential"]
    cv: Annotated[Number, Field(ge=1)]

    def make(self) -> traffic.Sizes:
        return traffic.HyperexponentialSizes(self.cv)


@final
class ExponentialPatience(Exponentially):
    """Jobs that give up at a constant rate."""

    mean: Positive
    until: Literal["start", "end"] = "end"


@final
class DeterministicPatience(Deterministic):
    """One timeout for all jobs."""

    mean: Positive
    until: Literal["start", "end"] = "end"


@final
class LognormalPatience(Lognormal):
    """Log-normal patience."""

    mean: Positive
    until: Literal["start", "end"] = "end"


@final
class HyperexponentialPatience(Hyperexponential):
    """Patience from a mixture of two exponentials."""

    mean: Positive
    until: Literal["start", "end"] = "end"


@final
class Poisson(Record):
    """Poisson arrivals."""

    type: Literal["poisson"]
    rate: NotNegative

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.PoissonArrivals(self.rate)


@final
class Piecewise(Record):
    """Poisson arrivals whose rate changes at [start, rate]."""

    type: Literal["piecewise"]
    steps: Annotated[list[Pair], Field(min_length=1)]
    period: Positive

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.PiecewiseArrivals(tuple((s, rate) for s, rate in self.steps), self.period)


@final
class GammaGaps(Record):
    """Renewal arrivals with Gamma gaps."""

    type: Literal["gamma"]
    rate: Positive
    cv: Positive

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.GammaArrivals(self.rate, self.cv)


@final
class WeibullGaps(Record):
    """Renewal arrivals with Weibull gaps."""

    type: Literal["weibull"]
    rate: Positive
    shape: Positive

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.WeibullArrivals(self.rate, self.shape)


@final
class Batches(Record):
    """Groups of jobs that come at one moment."""

    type: Literal["batch"]
    rate: Positive
    size: Annotated[Number, Field(ge=1)]
    law: Literal["geometric", "fixed"] = "geometric"

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.BatchArrivals(self.rate, self.size, self.law)


@final
class MarkovModulated(Record):
    """Poisson arrivals whose rate is that of a state."""

    type: Literal["mmpp"]
    rates: Annotated[list[NotNegative], Field(min_length=2)]
    durations: Annotated[list[Positive], Field(min_length=2)]
    next: list[list[NotNegative]] | None = None

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        following = None if self.next is None else tuple(map(tuple, self.next))
        rates, durations = tuple(self.rates), tuple(self.durations)
        return traffic.MarkovModulatedArrivals(rates, durations, following)


@final
class ColumnsEntry(Record):
    """Names of a trace's columns."""

    time: Name
    prompt: Name | None = None
    output: Name | None = None
    work: Name | None = None
    frontend: Name | None = None
    model: Name | None = None
    blocks: Name | None = None

    def make(self) -> traffic.Columns:
        return traffic.Columns(**{key: value for key, value in self if value is not None})


class TraceEntry(Record):
    """A trace file; a relative path starts at the system file's folder."""

    file: Name
    format: Name = "auto"
    columns: ColumnsEntry | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    tick: Positive | None = None

    def read(self, folder: Path) -> traffic.Trace:
        """Raises TraceError, UsageError or MissingExtraError."""
        columns = self.columns.make() if self.columns else None
        path = folder / self.file
        return traffic.read_trace(
            path, self.format, columns=columns, time_unit=self.time_unit, tick=self.tick
        )


@final
class FromTrace(TraceEntry):
    """The times of a trace file."""

    type: Literal["trace"]

    def make(self, folder: Path) -> traffic.Arrivals:
        trace = self.read(folder)
        return traffic.TraceArrivals(trace.times, trace.length)


@final
class OwnSizes(OwnRecord):
    """A class derived from `Sizes`."""

    def make(self) -> traffic.Sizes:
        base = traffic.Sizes
        return made("sizes", self.type, base, self.parameters, UsageError)  # type: ignore[type-abstract]


@final
class OwnArrivals(OwnRecord):
    """A class derived from `Arrivals`."""

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        base = traffic.Arrivals
        return made("arrivals", self.type, base, self.parameters, UsageError)  # type: ignore[type-abstract]


AnySizes = Annotated[
    Annotated[
        Exponentially | Deterministic | Lognormal | Hyperexponential, Field(discriminator="type")
    ],
    or_own(OwnSizes),
]
AnyPatience = Annotated[
    ExponentialPatience | DeterministicPatience | LognormalPatience | HyperexponentialPatience,
    Field(discriminator="type"),
]
AnyArrivals = Annotated[
    Annotated[
        Poisson | Piecewise | GammaGaps | WeibullGaps | Batches | MarkovModulated | FromTrace,
        Field(discriminator="type"),
    ],
    or_own(OwnArrivals),
]


@final
class PrefixCache(Record):
    """Prefix caches of all backends that do not have their own."""

    tokens: Annotated[int, Field(ge=0)] | None = None
    block_size: Annotated[int, Field(ge=1)] = BLOCK_SIZE


@final
class PopularityEntry(Record):
    """Popularity of an entry's models together, and how it falls from one to the next."""

    zipf: NotNegative = 0.0
    weight: NotNegative | None = None


def _as_weight(given: object) -> object:
    """A number alone is the weight."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return {"weight": given} if is_number else given


@final
class ModelEntry(Record):
    """One entry of `models`: a model, or several alike that a pattern names."""

    name: Name
    size: Positive = 1.0
    load: NotNegative = 0.0
    count: Annotated[int, Field(ge=1)] | None = None
    popularity: Annotated[PopularityEntry, BeforeValidator(_as_weight)] = PopularityEntry()

    def make(self) -> Model:
        """Raises UsageError."""
        popularity = self.popularity
        return Model(
            self.name, self.size, self.load, self.count, popularity.weight, popularity.zipf
        )


@final
class FrontendEntry(SettingsRecord):
    """One entry of `frontends`, with `rate` or `arrivals`; only `isocline serve` needs neither."""

    name: Name
    rate: NotNegative | None = None
    arrivals: AnyArrivals | None = None
    backends: Annotated[list[Name], Field(min_length=1)] = Field([])
    prefix: Annotated[int, Field(ge=0)] = 0
    models: dict[str, NotNegative] = Field({})
    match: Group[Match] = Field(
        default_factory=Match,  # a value would be copied, deeply, for each frontend
        description="conditions: a request has to meet all of those that are given",
    )
    zone: Name | None = Field(
        None,
        description="where its requests come from, as `zone` of a backend; needs `serve.distance`",
    )
    resend_unanswered: bool = Field(
        False,
        description="send a POST again if its reused connection closed without a byte of an answer",
    )

    @model_validator(mode="after")
    def _one_kind_of_arrivals(self) -> Self:
        if self.rate is not None and self.arrivals is not None:
            raise PydanticCustomError(
                "said", "both of rate and arrivals is given; give one, as rate: 12.0"
            )
        return self

    def make(self, folder: Path) -> traffic.Arrivals | None:
        """Return the arrival process, None if it is not given; raises TraceError or UsageError."""
        if self.arrivals is not None:
            return self.arrivals.make(folder)
        return None if self.rate is None else traffic.PoissonArrivals(self.rate)


@final
class WorkEntry(Record):
    """Unit of work of the curves, and the mean work of a job."""

    unit: Name
    mean: Positive
    prefill: NotNegative = 0.0
    decode: NotNegative = 1.0

    def make(self) -> Work:
        return Work(self.unit, self.mean, self.prefill, self.decode)


@final
class RoutingFile(Record):
    """A whole file of kind routing."""

    kind: Literal["routing"]
    name: Name | None = None
    work: WorkEntry | None = None
    sizes: AnySizes | None = None
    patience: AnyPatience | None = None
    prefix_cache: PrefixCache | None = None
    models: list[ModelEntry] = Field([])
    backends: Annotated[list[BackendEntry], Field(min_length=1)] = Field([])
    discover: list[DiscoverEntry] = Field([])
    frontends: Annotated[list[FrontendEntry], Field(min_length=1)]
    trace: TraceEntry | None = None
    serve: ServeEntry | None = None


def checked(document: Document) -> RoutingFile:
    """Check a document, and return its entries.

    Raises:
        SystemFileError: An entry is unknown, missing, of the wrong type or out of bounds.
    """
    try:
        file = RoutingFile.model_validate(document.data)
    except ValidationError as errors:
        # One at a time: the others are often a consequence of the first.
        report(document, errors.errors(include_url=False)[0])
    if file.discover:
        return file
    if not file.backends:
        document.fail(("backends",), "is missing; add it")
    for f, frontend in enumerate(file.frontends):
        if not frontend.backends:
            document.fail(("frontends", f, "backends"), "is missing; add it")
    return file
