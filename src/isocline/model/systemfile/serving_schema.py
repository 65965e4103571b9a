"""Schema of the parts of a system file that only `isocline serve` reads.

The records keep what is written; what is not is None, so that defaults stand in one place, where
they are used (`gateway.core.rules`, `gateway.config`). Secrets never stand in the file itself.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from isocline.model.systemfile.record import Name, NotNegative, Positive, Record

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]

REPORTS = Literal[
    "auto", "orca", "vllm", "sglang", "tgi", "triton", "llamacpp", "trtllm", "dynamo", "none"
]


class Secret(Record):
    """Where a secret is: in a variable of the environment, or a file."""

    env: Name | None = None
    file: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_in_the_file(cls, data: Any) -> Any:
        # What stands here may be the secret: no message repeats it.
        is_one = isinstance(data, dict) and len(data) == 1
        if not is_one or not {"env", "file"}.issuperset(data):
            raise PydanticCustomError(
                "said",
                "is not shown here; a secret does not stand in a system file: "
                "give {env: NAME} or {file: PATH}",
            )
        return data


class BackendServing(Record):
    """What serving adds to a backend."""

    ca_file: Name | None = None
    keep_host: bool | None = None
    authorization: Secret | None = None
    report: REPORTS = "auto"  # how it tells its workload
    metrics: Name | None = None  # path or URL of what is polled


class MatchEntry(Record):
    """Which requests a frontend takes."""

    listener: Name | None = None
    host: Name | None = None
    path: Annotated[str, Field(pattern="^/")] | None = None
    headers: dict[str, str] | None = None
    model: Name | None = None


class TlsEntry(Record):
    """PEM files of a listener."""

    certificate: Name
    key: Name | None = None


class ListenEntry(Record):
    """A place to accept connections."""

    name: Name = "default"
    address: Name
    tls: TlsEntry | None = None


class HealthEntry(Record):
    """Active checks."""

    path: Annotated[str, Field(pattern="^/")] | None = None
    every: Positive | None = None
    timeout: Positive | None = None
    rise: AtLeastOne | None = None
    fall: AtLeastOne | None = None


class PollEntry(Record):
    """How often the backends' metrics are read."""

    every: Positive | None = None


class HoldingEntry(Record):
    """How long, and how many, requests wait at their frontend."""

    seconds: Positive | None = None
    most: Count | None = None


class EjectionEntry(Record):
    """When a backend that fails is left alone."""

    failures: AtLeastOne | None = None
    rate: Share | None = None
    least: AtLeastOne | None = None
    window: Positive | None = None
    first: Positive | None = None
    longest: Positive | None = None
    floor: Share | None = None
    chance: Share | None = None


class RefusalsEntry(Record):
    """How long a backend that says that it is full is believed."""

    first: Positive | None = None
    longest: Positive | None = None
    too_many_requests: Literal["backend", "client"] | None = None


class RetriesEntry(Record):
    """How much may be sent again."""

    attempts: AtLeastOne | None = None
    share: Share | None = None
    least: NotNegative | None = None
    window: Positive | None = None


class TimesEntry(Record):
    """Limits on time, s."""

    header: Positive | None = None
    keep_alive: Positive | None = None
    connect: Positive | None = None
    first_byte: Positive | None = None
    idle: Positive | None = None
    total: Positive | None = None
    tunnel: Positive | None = None
    pool: Positive | None = None
    linger: Positive | None = None


class SizesEntry(Record):
    """Limits on sizes, bytes unless said otherwise."""

    head: AtLeastOne | None = None
    header_count: AtLeastOne | None = None
    body: AtLeastOne | None = None
    bodies: AtLeastOne | None = None
    replay: AtLeastOne | None = None
    buffer: AtLeastOne | None = None
    pool: Count | None = None  # 0: no connection to a backend is used again
    connections: AtLeastOne | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_model_body(cls, data: Any) -> Any:
        if isinstance(data, dict) and "model_body" in data:
            raise PydanticCustomError(
                "said",
                "model_body is no longer a limit: the whole body is read for its model, up to "
                "`body`; remove it",
            )
        return data


class CorsEntry(Record):
    """Which web pages may call."""

    origins: Annotated[list[Name], Field(min_length=1)]
    methods: list[Name] | None = None
    headers: list[Name] | None = None
    expose: list[Name] | None = None
    max_age: NotNegative | None = None
    credentials: bool | None = None


class ModelsEntry(Record):
    """How the list of models is put together; `off`: backends answer for themselves."""

    off: bool | None = None
    fresh: Positive | None = None
    timeout: Positive | None = None
    kept: Positive | None = None
    backends: bool | None = None


class LearnEntry(Record):
    """How curves are learned, and the file that keeps them."""

    file: Name | None = None
    every: Positive | None = None  # s between two writings
    work: Literal["requests", "frontend", "tokens"] | None = None  # what a request counts as
    ask_usage: bool | None = None  # of streams whose clients do not ask for it
    half_life: Positive | None = None
    half_life_completions: Positive | None = None
    optimism: NotNegative | None = None
    false_alarms: Annotated[float, Field(ge=0, lt=1)] | None = None
    kept: Positive | None = None


class ServeEntry(Record):
    """The key `serve`."""

    listen: Annotated[list[ListenEntry], Field(min_length=1)] | None = None
    admin: Name | None = None
    policy: Name | None = None
    workers: AtLeastOne | None = None
    health: HealthEntry | None = None
    poll: PollEntry | None = None
    holding: HoldingEntry | None = None
    ejection: EjectionEntry | None = None
    retries: RetriesEntry | None = None
    refusals: RefusalsEntry | None = None
    oldest_report: Positive | None = None
    stop_at_peak: bool | None = None
    slow_start: Count | None = None
    times: TimesEntry | None = None
    sizes: SizesEntry | None = None
    trusted: list[Name] | None = None
    api_keys: Secret | None = None
    cors: CorsEntry | None = None
    models: ModelsEntry | None = None
    access_log: Name | None = None
    learn: LearnEntry | None = None
    drain: NotNegative | None = None
    drain_delay: NotNegative | None = None

    @field_validator("listen", mode="before")
    @classmethod
    def _one_address(cls, data: Any) -> Any:
        return [{"address": data}] if isinstance(data, str) else data

    @field_validator("health", "admin", "access_log", "cors", mode="before")
    @classmethod
    def _off(cls, data: Any) -> Any:
        return None if data == "off" else data

    @field_validator("models", mode="before")
    @classmethod
    def _models_off(cls, data: Any) -> Any:
        return {"off": True} if data == "off" else data


def given(record: Record | None) -> dict[str, Any]:
    """What is written in a record; nothing where it is not there."""
    if record is None:
        return {}
    return {key: value for key, value in vars(record).items() if value is not None}
