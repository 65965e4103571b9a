"""What may stand in a system file. Each record checks itself and makes its part of the model.

pydantic checks types and bounds of single values; what relates several (names, patterns, a curve's
shape) is checked where the model is built. Values are strict: a number in quotes is not a number.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from isocline.model import curves as curve
from isocline.model import traffic
from isocline.model.fleet import Work

Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Name = Annotated[str, Field(min_length=1)]
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Record(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        # In place of extra="forbid", which does not say which keys are known.
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    found = {"key": key, "known": list(cls.model_fields)}
                    raise PydanticCustomError("unknown_key", "unknown key {key}", found)
        return data


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
    """A router over members: the most that they can serve together."""

    type: Literal["pool"]
    members: Annotated[list["AnyCurve"], Field(min_length=1)]

    def make(self) -> curve.Curve:
        return curve.PoolCurve(tuple(member.make() for member in self.members))


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


class Poisson(Record):
    """Poisson arrivals."""

    type: Literal["poisson"]
    rate: Positive

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.PoissonArrivals(self.rate)


class Piecewise(Record):
    """Poisson arrivals whose rate changes at [start, rate]."""

    type: Literal["piecewise"]
    steps: Annotated[list[Pair], Field(min_length=1)]
    period: Positive

    def make(self, folder: Path) -> traffic.Arrivals:  # noqa: ARG002
        return traffic.PiecewiseArrivals(tuple((s, rate) for s, rate in self.steps), self.period)


class FromTrace(Record):
    """The times of a trace file; a relative path starts at the system file's folder."""

    type: Literal["trace"]
    file: Name
    format: Literal["auto", "azure", "mooncake"] = "auto"

    def make(self, folder: Path) -> traffic.Arrivals:
        trace = traffic.read_trace(folder / self.file, self.format)
        return traffic.TraceArrivals(trace.times, trace.length)


AnyCurve = Annotated[
    Hyperbolic | Exponential | Knee | Table | Servers | Pool, Field(discriminator="type")
]
AnySizes = Annotated[
    Exponentially | Deterministic | Lognormal | Hyperexponential, Field(discriminator="type")
]
AnyArrivals = Annotated[Poisson | Piecewise | FromTrace, Field(discriminator="type")]


class BackendEntry(Record):
    """One entry of `backends`."""

    name: Name
    curve: AnyCurve
    url: str | None = None


class FrontendEntry(Record):
    """One entry of `frontends`, with either `rate` or `arrivals`."""

    name: Name
    rate: Positive | None = None
    arrivals: AnyArrivals | None = None
    backends: Annotated[list[Name], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_kind_of_arrivals(self) -> Self:
        if (self.rate is None) == (self.arrivals is None):
            found = "neither" if self.rate is None else "both"
            raise PydanticCustomError(
                "arrivals", f"{found} of rate and arrivals is given; give one, as rate: 12.0"
            )
        return self

    def make(self, folder: Path) -> traffic.Arrivals:
        """The arrival process; raises TraceError or UsageError."""
        if self.arrivals is not None:
            return self.arrivals.make(folder)
        assert self.rate is not None  # by the validator
        return traffic.PoissonArrivals(self.rate)


class WorkEntry(Record):
    """How curves in tokens/s, say, apply to jobs."""

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
    backends: Annotated[list[BackendEntry], Field(min_length=1)]
    frontends: Annotated[list[FrontendEntry], Field(min_length=1)]
