"""Schema of service curves in system files."""

from typing import Annotated, Literal, final

from pydantic import Field

from isocline.errors import CurveError
from isocline.model import curves as curve
from isocline.model.curves.own import own_curve
from isocline.model.systemfile.record import OwnRecord, Pair, Positive, Record, or_own


@final
class Hyperbolic(Record):
    """peak N / (N + half)."""

    type: Literal["hyperbolic"]
    peak: Positive
    half: Positive

    def make(self) -> curve.Curve:
        return curve.HyperbolicCurve(self.peak, self.half)


@final
class Exponential(Record):
    """peak (1 - e^(-N/scale))."""

    type: Literal["exponential"]
    peak: Positive
    scale: Positive

    def make(self) -> curve.Curve:
        return curve.ExponentialCurve(self.peak, self.scale)


@final
class Knee(Record):
    """peak N / (N^sharpness + knee^sharpness)^(1/sharpness)."""

    type: Literal["knee"]
    peak: Positive
    knee: Positive
    sharpness: Positive

    def make(self) -> curve.Curve:
        return curve.KneeCurve(self.peak, self.knee, self.sharpness)


@final
class Table(Record):
    """Measured points [N, rate]."""

    type: Literal["table"]
    points: Annotated[list[Pair], Field(min_length=1)]

    def make(self) -> curve.Curve:
        return curve.TableCurve(tuple((n, rate) for n, rate in self.points))


@final
class Servers(Record):
    """rate min(N, count)."""

    type: Literal["servers"]
    rate: Positive
    count: Annotated[int, Field(ge=1)] = 1

    def make(self) -> curve.Curve:
        return curve.ServersCurve(self.rate, self.count)


@final
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


@final
class OwnCurve(OwnRecord):
    """A class derived from `Curve`."""

    def make(self) -> curve.Curve:
        return own_curve(self.type, self.parameters)


AnyCurve = Annotated[
    Annotated[
        Hyperbolic | Exponential | Knee | Table | Servers | Pool, Field(discriminator="type")
    ],
    or_own(OwnCurve),
]
