"""Schema of system files of kind near-data. Each record validates itself.

`servers` and `tasks` have several forms each; the modules of these names tell which one it is.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, final

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from isocline.model.cluster import HotSpot, Rates, RecordedService, ServiceLaw, SlotArrivals
from isocline.model.cluster.service import read_durations
from isocline.model.systemfile.record import Name, NotNegative, Number, Positive, Record
from isocline.model.systemfile.schema import (
    Deterministic,
    Exponentially,
    Hyperexponential,
    Lognormal,
)

Count = Annotated[int, Field(ge=1)]


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _as_entry(value: Any) -> Any:
    return {"name": value} if isinstance(value, str | int) else value


Label = Annotated[Name, BeforeValidator(_as_text)]
"""A name that may look like a number."""


@final
class ServerEntry(Record):
    """One entry of a list of servers."""

    name: Label
    rack: Label | None = None


@final
class CountedServers(Record):
    """Servers without names, in racks of neighbours."""

    count: Count
    racks: Count = 1


@final
class RatesEntry(Record):
    """Tasks/s, or probabilities per slot."""

    local: Positive
    remote: Positive
    rack: Positive | None = None

    def make(self) -> Rates:
        return Rates(self.local, self.remote, self.rack)


@final
class Recorded(Record):
    """Measured durations, one a line; a relative path starts at the system file's folder."""

    type: Literal["recorded"]
    file: Name


@final
class SlotArrivalsEntry(Record):
    """Variation of the number of tasks in a slot, by one of two parameters."""

    variance: NotNegative | None = None
    dispersion: NotNegative | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.variance is None) == (self.dispersion is None):
            raise PydanticCustomError(
                "said", "give one of variance and dispersion, as {dispersion: 2.0}; 1 is Poisson"
            )
        return self

    def make(self, mean: float) -> SlotArrivals:
        """Return the law of the number of tasks, of which `mean` arrive in a slot."""
        if self.variance is not None:
            return SlotArrivals.of_variance(self.variance, mean)
        return SlotArrivals(self.dispersion if self.dispersion is not None else 1.0)


@final
class TypeEntry(Record):
    """One task type: servers by name, number or pattern."""

    servers: Annotated[list[Label], Field(min_length=1)]
    rate: NotNegative


@final
class HotSpotEntry(Record):
    """Part of the tasks on the first part of the servers."""

    servers: Number
    share: Number

    def make(self) -> HotSpot:
        return HotSpot(self.servers, self.share)


@final
class PopularityEntry(Record):
    """Finitely many chunks: with popularities by Zipf's law, or as often as a trace reads them."""

    zipf: Annotated[Number, Field(ge=0)] | None = None
    chunks: Count | None = None
    trace: Name | None = None
    seed: Annotated[int, Field(ge=0)] = 0


@final
class SampledEntry(Record):
    """Tasks whose local servers are drawn."""

    replicas: Count
    rate: Positive
    hotspot: HotSpotEntry | None = None
    placement: Literal["uniform", "hdfs"] = "uniform"
    popularity: PopularityEntry | None = None


AnyService = Annotated[
    Exponentially | Deterministic | Lognormal | Hyperexponential | Recorded,
    Field(discriminator="type"),
]
ListedServers = Annotated[
    list[Annotated[ServerEntry, BeforeValidator(_as_entry)]], Field(min_length=1)
]
ListedTypes = Annotated[list[TypeEntry], Field(min_length=1)]


@final
class NearDataFile(Record):
    """A whole file of kind near-data."""

    kind: Literal["near-data"]
    name: Name | None = None
    servers: Any
    rates: RatesEntry
    service: AnyService | None = None
    tasks: Any
    arrivals: SlotArrivalsEntry | None = None


def service_law(entry: AnyService, folder: Path) -> ServiceLaw:
    """Return the law of an entry; raises TraceError or UsageError."""
    if isinstance(entry, Recorded):
        return RecordedService(read_durations(folder / entry.file))
    return entry.make()
