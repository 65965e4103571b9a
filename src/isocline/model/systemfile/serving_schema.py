"""Schema of the parts of a system file that only `isocline serve` reads.

`ServeEntry` is the whole key `serve` with its defaults; its groups are the data classes of
`isocline.model.serving_settings`, which the gateway reads as they are. The documentation's table
is made from both (`isocline.gateway.serve.settings_table`). Secrets never stand in the file itself.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from isocline.model.serving_settings import (
    Cors,
    EjectionRule,
    HealthCheck,
    HoldingRule,
    ModelListing,
    PollPeriod,
    RefusalRule,
    RetryRule,
    Rules,
    SizeLimits,
    TimeLimits,
)
from isocline.model.systemfile.record import (
    Group,
    Name,
    NotNegative,
    Number,
    Positive,
    Record,
    SettingsRecord,
    like,
)

REPORTS = Literal[
    "auto", "orca", "vllm", "sglang", "tgi", "triton", "llamacpp", "trtllm", "dynamo", "none"
]
CAN_BE_OFF = ("health", "admin", "access_log", "cors", "models")
_SECONDS: dict[str, Any] = {"unit": "s"}
_COMPLETIONS: dict[str, Any] = {"unit": "completions"}
_LISTEN = "give HOST:PORT, as 127.0.0.1:8080"


def _with_host(data: Any) -> Any:
    if isinstance(data, int) and not isinstance(data, bool):
        raise PydanticCustomError("said", f"is {data}, a port without a host; {_LISTEN}")
    return data


ListenTo = Annotated[Name, BeforeValidator(_with_host)]


class Secret(Record):
    """Place of a secret: a variable of the environment, or a file."""

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


class BackendServing(SettingsRecord):
    """Keys of a backend for serving alone."""

    url: str | None = Field(
        None,
        description="`http://HOST:PORT` or `https://HOST:PORT`, with a path if it has one; needed",
    )
    report: REPORTS = Field(
        "auto",
        description="how it reports its load, see [load reports](#the-file); `auto`: find out",
    )
    metrics: Name | None = Field(
        None,
        description="its metrics page, a path below the url or a whole URL; else the usual ones",
    )
    authorization: Secret | None = Field(
        None,
        description="sent in place of the client's key: a key, or a whole value of the header; "
        "`{env: NAME}` or `{file: PATH}`",
    )
    ca_file: Name | None = Field(
        None, description="certificates that may have signed its own; else the system's"
    )
    keep_host: bool = Field(
        True, description="pass on the client's Host; `false`: Host names the backend"
    )


class TlsEntry(Record):
    """PEM files of a listener."""

    certificate: Name
    key: Name | None = None


class ListenEntry(Record):
    """Address to accept connections on."""

    name: Name = "default"
    address: ListenTo
    tls: TlsEntry | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_an_address(cls, data: Any) -> Any:
        if isinstance(data, str | int):
            raise PydanticCustomError(
                "said", f"is {data!r}; give {{name: NAME, address: HOST:PORT}}"
            )
        return data


class LearnEntry(SettingsRecord):
    """Learning of curves, and the file that keeps them; None: as `isocline.Learning` has it."""

    file: Name | None = Field(None, description="file that keeps the curves over a restart")
    every: Positive = Field(
        30.0,
        description="period of writing the file; a crash loses what was learned since",
        json_schema_extra=_SECONDS,
    )
    work: Literal["requests", "frontend", "tokens"] = Field(
        "requests", description="what a request counts as, see [learned curves](#learned-curves)"
    )
    ask_usage: bool = Field(
        False, description="ask for `usage` in streams whose clients do not; with `work: tokens`"
    )
    half_life: Positive | None = Field(
        None, description="age at which an observation counts half", json_schema_extra=_SECONDS
    )
    # What counts is 2000 / ln 2 = 2900 completions: rates to 2 %, and at most 1 % of latency on
    # fleets A and C. A router that has learned through stalls is back at 1.07 of the optimum of
    # fleet C, load 0.45, within 20 000 requests; without forgetting it stays at 1.24 to 1.33.
    half_life_completions: Positive = Field(
        2000.0,
        description="the same, in completions of the mean backend",
        json_schema_extra=_COMPLETIONS,
    )
    optimism: NotNegative | None = Field(None, description="size of the exploration bonus; 0: none")
    false_alarms: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="changes of speed seen where there is none, per completion; 0: off",
    )
    kept: Positive | None = Field(
        None,
        description="completions that old observations count for after a change, or a given curve "
        "at each workload",
        json_schema_extra=_COMPLETIONS,
    )


class ServeEntry(SettingsRecord):
    """The key `serve`."""

    listen: Annotated[list[ListenEntry], Field(min_length=1)] = Field(
        [ListenEntry(address="127.0.0.1:8080")],
        description="`HOST:PORT`, or a list of `{name, address, tls: {certificate, key}}`",
    )
    admin: ListenTo | None = Field(
        None, description="`HOST:PORT` of `/metrics`, `/statistics`, `/health`, `/ready`, or `off`"
    )
    policy: Name = Field("gmsr", description="routing policy, as for `simulate`")
    workers: Annotated[int, Field(ge=1)] = Field(1, description="processes")
    health: Group[HealthCheck] | None = Field(
        None, description="active checks, or `off`; `{}` for the defaults below"
    )
    poll: Group[PollPeriod] = Field(PollPeriod(), description="reading of the backends' metrics")
    holding: Group[HoldingRule] = like(Rules, "holding")
    ejection: Group[EjectionRule] = like(Rules, "ejection")
    retries: Group[RetryRule] = like(Rules, "retries")
    refusals: Group[RefusalRule] = like(Rules, "refusals")
    oldest_report: Number = like(Rules, "oldest_report")
    stop_at_peak: bool = like(Rules, "stop_at_peak")
    slow_start: int = like(Rules, "slow_start")
    times: Group[TimeLimits] = Field(TimeLimits(), description="limits on time")
    sizes: Group[SizeLimits] = Field(SizeLimits(), description="limits on sizes")
    trusted: list[Name] = Field(
        [],
        description="networks of proxies whose `Forwarded` and `X-Forwarded-*` are trusted",
    )
    api_keys: Secret | None = Field(
        None,
        description="keys of which clients need one: `{env: NAME}`, commas between, or "
        "`{file: PATH}`, one a line; see [keys](#keys)",
    )
    cors: Group[Cors] | None = Field(
        None, description="which web pages may call, or `off`; see [web pages](#web-pages)"
    )
    models: Group[ModelListing] | None = Field(
        ModelListing(),
        description="how `GET /v1/models` is answered, or `off`; see "
        "[the list of models](#the-list-of-models)",
    )
    access_log: Name | None = Field(None, description="a file, `-` for stdout, or `off`")
    learn: LearnEntry | None = Field(
        None,
        description="learn the curves; without it only where a backend has none, see "
        "[learned curves](#learned-curves)",
    )
    # As Kubernetes gives a pod before it kills it.
    drain: NotNegative = Field(
        30.0, description="time for requests under way at the end", json_schema_extra=_SECONDS
    )
    drain_delay: NotNegative = Field(
        0.0,
        description="time after SIGTERM in which new requests are still taken, before `drain` "
        "begins; see [the verb](#the-verb)",
        json_schema_extra=_SECONDS,
    )

    @field_validator("listen", mode="before")
    @classmethod
    def _one_address(cls, data: Any) -> Any:
        data = _with_host(data)
        if isinstance(data, str):
            return [{"address": data}]
        if isinstance(data, list):
            return data
        raise PydanticCustomError(
            "said", f"is {data!r}; {_LISTEN}, or a list of {{name: NAME, address: HOST:PORT}}"
        )

    @field_validator(*CAN_BE_OFF, mode="before")
    @classmethod
    def _off(cls, data: Any) -> Any:
        return None if data == "off" else data

    @field_validator("sizes", mode="before")
    @classmethod
    def _no_model_body(cls, data: Any) -> Any:
        if isinstance(data, dict) and "model_body" in data:
            raise PydanticCustomError(
                "said",
                "model_body is no longer a limit: the whole body is read for its model, up to "
                "`body`; remove it",
            )
        return data
