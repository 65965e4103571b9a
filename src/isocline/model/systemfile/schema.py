"""Schema of system files. Each record checks itself and builds its part of the model.

pydantic checks types and bounds of single values; what relates several (names, patterns, a curve's
shape) is checked where the model is built.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from isocline.errors import CurveError, UsageError
from isocline.model import curves as curve
from isocline.model import traffic
from isocline.model.curves.own import own_curve
from isocline.model.fleet import Work
from isocline.model.serving_settings import Match
from isocline.model.systemfile.document import Document
from isocline.model.systemfile.own import OwnRecord, or_own
from isocline.model.systemfile.problems import report
from isocline.model.systemfile.record import (
    Group,
    Name,
    NotNegative,
    Number,
    Pair,
    Positive,
    Record,
    SettingsRecord,
)
from isocline.model.systemfile.serving_schema import BackendServing, ServeEntry
from isocline.user_code import made


class Hyperbolic(Record):
    """peak N / (N + half)."""

    type: Literal["hyperbolic"]
    peak: Positive
    half: Positive

    def make(self) -> curve.Curve:
        return curve.HyperbolicCurve(self.peak, self.half)


class Exponential(Record):
    """peak (1 - e^(-N/scale))."""

    type: Literal["exponential"]
    peak: Positive
    scale: Positive

    def make(self) -> curve.Curve:
        return curve.ExponentialCurve(self.peak, self.scale)


class Knee(Record):
    """peak N / (N^sharpness + knee^sharpness)^(1/sharpness)."""

    type: Literal["knee"]
    peak: Positive
    knee: Positive
    sharpness: Positive

    def make(self) -> curve.Curve:
        return curve.KneeCurve(self.peak, self.knee, self.sharpness)


class Table(Record):
    """Measured points [N, rate]."""

    type: Literal["table"]
    points: Annotated[list[Pair], Field(min_length=1)]

    def make(self) -> curve.Curve:
        return curve.TableCurve(tuple((n, rate) for n, rate in self.points))


class Servers(Record):
    """rate min(N, count)."""

    type: Literal["servers"]
    rate: Positive
    count: Annotated[int, Field(ge=1)] = 1

    def make(self) -> curve.Curve:
        return curve.ServersCurve(self.rate, self.count)


class Pool(Record):
    """Members behind a router: the highest rate at which they can serve together."""

    type: Literal["pool"]
    members: Annotated[list["AnyCurve"], Field(min_length=1)]

    def make(self) -> curve.Curve:
        return curve.PoolCurve(tuple(map(self._member, range(len(self.members)))))

    def _member(self, i: int) -> curve.Curve:
        try:
            return self.members[i].make()
        except CurveError as error:
            raise error.within("members", i) from None


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


class ExponentialPatience(Exponentially):
    """Jobs that give up at a constant rate."""

    mean: Positive
    until: Literal["start", "end"] = "end"


class DeterministicPatience(Deterministic):
    """One timeout for all jobs."""

    mean: Positive
    until: Literal["start", "end"] = "end"


class LognormalPatience(Lognormal):
    """Log-normal patience."""

    mean: Positive
    until: Literal["start", "end"] = "end"


class HyperexponentialPatience(Hyperexponential):
    """Patience from a mixture of two exponentials."""

    mean: Positive
    until: Literal["start", "end"] = "end"


class Poisson(Record):
    """Poisson arrivals."""

    type: Literal["poisson"]
    rate: NotNegative

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.PoissonArrivals(self.rate)


class Piecewise(Record):
    """Poisson arrivals whose rate changes at [start, rate]."""

    type: Literal["piecewise"]
    steps: Annotated[list[Pair], Field(min_length=1)]
    period: Positive

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.PiecewiseArrivals(tuple((s, rate) for s, rate in self.steps), self.period)


class GammaGaps(Record):
    """Renewal arrivals with Gamma gaps."""

    type: Literal["gamma"]
    rate: Positive
    cv: Positive

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.GammaArrivals(self.rate, self.cv)


class WeibullGaps(Record):
    """Renewal arrivals with Weibull gaps."""

    type: Literal["weibull"]
    rate: Positive
    shape: Positive

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.WeibullArrivals(self.rate, self.shape)


class Batches(Record):
    """Groups of jobs that come at one moment."""

    type: Literal["batch"]
    rate: Positive
    size: Annotated[Number, Field(ge=1)]
    law: Literal["geometric", "fixed"] = "geometric"

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.BatchArrivals(self.rate, self.size, self.law)


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


class ColumnsEntry(Record):
    """Names of a trace's columns."""

    time: Name
    prompt: Name | None = None
    output: Name | None = None
    work: Name | None = None
    frontend: Name | None = None
    model: Name | None = None

    def make(self) -> traffic.Columns:
        return traffic.Columns(**{key: value for key, value in self if value is not None})


class TraceEntry(Record):
    """A trace file; a relative path starts at the system file's folder."""

    file: Name
    format: Name = "auto"
    columns: ColumnsEntry | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None

    def read(self, folder: Path) -> traffic.Trace:
        """Raises TraceError, UsageError or MissingExtraError."""
        columns = self.columns.make() if self.columns else None
        path = folder / self.file
        return traffic.read_trace(path, self.format, columns=columns, time_unit=self.time_unit)


class FromTrace(TraceEntry):
    """The times of a trace file."""

    type: Literal["trace"]

    def make(self, folder: Path) -> traffic.Arrivals:
        trace = self.read(folder)
        return traffic.TraceArrivals(trace.times, trace.length)


class OwnCurve(OwnRecord):
    """A class derived from `Curve`."""

    def make(self) -> curve.Curve:
        return own_curve(self.type, self.parameters)


class OwnSizes(OwnRecord):
    """A class derived from `Sizes`."""

    def make(self) -> traffic.Sizes:
        base = traffic.Sizes
        return made("sizes", self.type, base, self.parameters, UsageError)  # type: ignore[type-abstract]


class OwnArrivals(OwnRecord):
    """A class derived from `Arrivals`."""

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        base = traffic.Arrivals
        return made("arrivals", self.type, base, self.parameters, UsageError)  # type: ignore[type-abstract]


AnyCurve = Annotated[
    Annotated[
        Hyperbolic | Exponential | Knee | Table | Servers | Pool, Field(discriminator="type")
    ],
    or_own(OwnCurve),
]
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


class BackendEntry(BackendServing):
    """One entry of `backends`; only `isocline serve` does without a curve."""

    name: Name
    curve: AnyCurve | None = None


class FrontendEntry(SettingsRecord):
    """One entry of `frontends`, with `rate` or `arrivals`; only `isocline serve` needs neither."""

    name: Name
    rate: NotNegative | None = None
    arrivals: AnyArrivals | None = None
    backends: Annotated[list[Name], Field(min_length=1)]
    match: Group[Match] = Field(
        Match(), description="conditions: a request has to meet all of those that are given"
    )
    resend_unanswered: bool = Field(
        False, description="send a POST again on a connection closed before a byte came, see above"
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


class WorkEntry(Record):
    """Unit of work of the curves, and the mean work of a job."""

    unit: Name
    mean: Positive
    prefill: NotNegative = 0.0
    decode: NotNegative = 1.0

    def make(self) -> Work:
        return Work(self.unit, self.mean, self.prefill, self.decode)


class RoutingFile(Record):
    """A whole file of kind routing."""

    kind: Literal["routing"]
    name: Name | None = None
    work: WorkEntry | None = None
    sizes: AnySizes | None = None
    patience: AnyPatience | None = None
    backends: Annotated[list[BackendEntry], Field(min_length=1)]
    frontends: Annotated[list[FrontendEntry], Field(min_length=1)]
    trace: TraceEntry | None = None
    serve: ServeEntry | None = None


def checked(document: Document) -> RoutingFile:
    """Check a document, and return its entries.

    Raises:
        SystemFileError: An entry is unknown, missing, of the wrong type or out of bounds.
    """
    try:
        return RoutingFile.model_validate(document.data)
    except ValidationError as errors:
        # One at a time: the others are often a consequence of the first.
        report(document, errors.errors(include_url=False)[0])
