"""Results of a run of load."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

from isocline.histogram import known_shares
from isocline.loadgen.tally import Tally, Times
from isocline.record import Record, data_frame

if TYPE_CHECKING:
    import pandas as pd


@final
@dataclass(frozen=True)
class Distribution:
    """Durations, s; percentiles are right to 1 in 1000. nan where there were none."""

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float
    curve: tuple[tuple[float, float], ...]  # (share, the duration that this share does not exceed)

    @classmethod
    def of(cls, times: Times) -> Self:
        """Counts and distributions, as in the JSON document."""
        return cls(
            count=times.count,
            mean=times.mean,
            p50=times.quantile(0.5),
            p90=times.quantile(0.9),
            p95=times.quantile(0.95),
            p99=times.quantile(0.99),
            p999=times.quantile(0.999),
            max=times.max if times.count else float("nan"),
            curve=tuple((q, times.quantile(q)) for q in known_shares(times.count)),
        )

    def to_dict(self) -> dict[str, float]:
        """Without the curve."""
        return {key: value for key, value in asdict(self).items() if key != "curve"}


@final
@dataclass(frozen=True)
class LoadResult(Record):
    """Requests that were due after the warm-up; latencies are from when they were due."""

    picture: ClassVar[str] = "plots.load:load_plot"
    words: ClassVar[str] = "tables.load:load_report"
    url: str
    source: str  # of the arrivals, in words
    rate: float  # requests/s that were due, warm-up included
    duration: float  # s over which requests were due
    warmup: float  # s
    due: int
    completed: int
    errors: dict[str, int]  # by kind, the most frequent first
    latency: Distribution
    lag: Distribution  # from due to sent
    first_token: Distribution | None  # of streams
    between_tokens: Distribution | None
    tokens: int
    connections: int  # the most at a time
    reconnections: int  # kept connections that the server closed as they were used again
    workers: int
    interrupted: bool

    @property
    def completed_rate(self) -> float:
        """Requests completed per second of the measured part."""
        return self.completed / self._measured

    @property
    def tokens_rate(self) -> float:
        """Tokens received per second of the measured part."""
        return self.tokens / self._measured

    @property
    def _measured(self) -> float:
        return max(self.duration - self.warmup, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "arrivals": self.source,
            "rate": self.rate,
            "duration": self.duration,
            "warmup": self.warmup,
            "due": self.due,
            "completed": self.completed,
            "completed_rate": self.completed_rate,
            "errors": self.errors,
            **{name: found and found.to_dict() for name, found in self.distributions().items()},
            "tokens_rate": self.tokens_rate if self.first_token else None,
            "connections": self.connections,
            "reconnections": self.reconnections,
            "workers": self.workers,
            "interrupted": self.interrupted,
        }

    def distributions(self) -> dict[str, Distribution | None]:
        """All of them by their names in the JSON."""
        return {
            "latency": self.latency,
            "time_to_first_token": self.first_token,
            "between_tokens": self.between_tokens,
            "send_lag": self.lag,
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row per kind of duration, s."""
        return data_frame(
            {"of": name, **found.to_dict()}
            for name, found in self.distributions().items()
            if found is not None
        )

    @classmethod
    def of(
        cls, tally: Tally, *, url: str, source: str, rate: float, duration: float, warmup: float,
        streams: bool, workers: int,
    ) -> Self:  # fmt: skip
        """Counts, and the conditions of the run."""
        return cls(
            url=url,
            source=source,
            rate=rate,
            duration=min(duration, tally.ended) if tally.interrupted else duration,
            warmup=warmup,
            due=tally.due,
            completed=tally.completed,
            errors=dict(tally.errors.most_common()),
            latency=Distribution.of(tally.latency),
            lag=Distribution.of(tally.lag),
            first_token=Distribution.of(tally.first_token) if streams else None,
            between_tokens=Distribution.of(tally.between_tokens) if streams else None,
            tokens=tally.tokens,
            connections=tally.connections,
            reconnections=tally.reconnections,
            workers=workers,
            interrupted=tally.interrupted,
        )
