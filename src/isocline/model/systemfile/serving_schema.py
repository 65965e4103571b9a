"""Schema of the parts of a system file that only `isocline serve` reads.

`ServeEntry` is the whole key `serve` with its defaults; its groups are the data classes of
`isocline.model.serving_settings`, which the gateway uses directly. The documentation's table is
generated from both (`isocline.gateway.serve.settings_table`). The file itself never has secrets.
"""

from typing import Annotated, Any, Literal, final, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from isocline.model.serving_settings import (
    AdminCall,
    Cors,
    EjectionRule,
    HealthCheck,
    HoldingRule,
    KeyLimit,
    ModelListing,
    PickerSettings,
    PollPeriod,
    RefusalRule,
    ResidencyRule,
    RetryRule,
    Rules,
    SharingRule,
    SizeLimits,
    TimeLimits,
    Tracing,
    ZoneDistances,
)
from isocline.model.systemfile.backend_schema import Secret
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

CONTROLS = Literal["drain", "weight", "max_share", "curves", "reload", "backends"]
CAN_BE_OFF = (
    "health",
    "admin",
    "admin_control",
    "access_log",
    "cors",
    "models",
    "sharing",
    "tracing",
)
_SECONDS: dict[str, Any] = {"unit": "s"}
_COMPLETIONS: dict[str, Any] = {"unit": "completions"}
_LISTEN = "give HOST:PORT, such as 127.0.0.1:8080"


def _with_host(data: Any) -> Any:
    if isinstance(data, int) and not isinstance(data, bool):
        raise PydanticCustomError("said", f"is {data}, a port without a host; {_LISTEN}")
    return data


ListenTo = Annotated[Name, BeforeValidator(_with_host)]


@final
class TlsEntry(Record):
    """PEM files of a listener."""

    certificate: Name
    key: Name | None = None


@final
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


@final
class ControlEntry(Record):
    """Operators' keys for calls of the admin listener, and the controls that they may use."""

    keys: Secret = Field(
        description="keys of operators: `{env: NAME}` or `{file: PATH}`, as for `api_keys`; the "
        "name of a key appears in the log"
    )
    allow: Annotated[list[CONTROLS], Field(min_length=1)] = Field(
        list(get_args(CONTROLS)),
        description="controls that operators may use: `drain`, `weight`, `max_share`, `curves`, "
        "`reload`, `backends`",
    )


@final
class CallEntry(Record):
    """Call to a backend that loads or unloads a model."""

    method: Literal["POST", "PUT", "DELETE", "GET"] = "POST"
    path: Annotated[str, Field(pattern="^/")]
    body: dict[str, Any] = Field({})

    def make(self) -> AdminCall:
        """The call."""
        return AdminCall(self.path, self.method, self.body)

    @model_validator(mode="after")
    def _names_the_model(self) -> "CallEntry":
        if "{model}" not in self.path and "{model}" not in str(self.body):
            raise PydanticCustomError(
                "said", "does not name the model; put {{model}} into the path or the body"
            )
        return self


@final
class ResidencyEntry(SettingsRecord):
    """Models of backends with `memory`: how they are told, loaded and unloaded."""

    source: Literal["models", "metrics", "calls"] = Field(
        "calls",
        description="where what is resident is read: `models` (`/v1/models`), `metrics` (vLLM's "
        "`vllm:lora_requests_info`), or nowhere: `calls`, what the router itself has loaded",
    )
    every: Positive = Field(
        1.0, description="interval between two questions", json_schema_extra=_SECONDS
    )
    load: CallEntry | None = Field(
        None,
        description="call that loads a model, `{method, path, body}` with `{model}` for its name; "
        "by default backends load what requests ask for",
    )
    unload: CallEntry | None = Field(
        None,
        description="call that unloads one; by default backends drop what was used longest ago",
    )
    timeout: Positive = Field(
        120.0, description="limit on the time of a call", json_schema_extra=_SECONDS
    )

    def make(self) -> ResidencyRule:
        """The rule."""
        load, unload = (None if it is None else it.make() for it in (self.load, self.unload))
        return ResidencyRule(self.source, load, unload, self.every, self.timeout)


@final
class LearnEntry(SettingsRecord):
    """Learning of curves, and their file; None: the default of `isocline.Learning`."""

    file: Name | None = Field(None, description="file that keeps the curves across restarts")
    every: Positive = Field(
        30.0,
        description="interval between writes of the file; a crash loses later observations",
        json_schema_extra=_SECONDS,
    )
    work: Literal["requests", "frontend", "tokens"] = Field(
        "requests", description="work of a request, see [learned curves](serve-learning.md)"
    )
    ask_usage: bool = Field(
        False, description="request `usage` in streams whose clients do not; with `work: tokens`"
    )
    half_life: Positive | None = Field(
        None, description="age at which an observation counts half", json_schema_extra=_SECONDS
    )
    # 2000 / ln 2 = 2900 completions then count: rates are known to 2 %, which costs at most 1 % of
    # latency on fleets A and C. After learning during stalls, a router is back at 1.07 times the
    # optimum of fleet C, load 0.45, within 20 000 requests; without forgetting it stays at 1.24 to
    # 1.33.
    half_life_completions: Positive = Field(
        2000.0,
        description="the same, in completions of an average backend",
        json_schema_extra=_COMPLETIONS,
    )
    optimism: NotNegative | None = Field(None, description="size of the exploration bonus; 0: none")
    false_alarms: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="false detections of a change of speed, per completion; 0: no detection",
    )
    kept: Positive | None = Field(
        None,
        description="completions as which old observations count after a change, and a given curve "
        "at each workload",
        json_schema_extra=_COMPLETIONS,
    )


@final
class ServeEntry(SettingsRecord):
    """The key `serve`."""

    listen: Annotated[list[ListenEntry], Field(min_length=1)] = Field(
        [ListenEntry(address="127.0.0.1:8080")],
        description="`HOST:PORT`, or a list of `{name, address, tls: {certificate, key}}`",
    )
    admin: ListenTo | None = Field(
        None, description="`HOST:PORT` of `/metrics`, `/statistics`, `/health`, `/ready`, or `off`"
    )
    admin_control: ControlEntry | None = Field(
        None, description="control calls of the admin listener, or `off`; see [admin](admin.md)"
    )
    policy: Name = Field("gmsr_secant", description="routing policy, as for `simulate`")
    workers: Annotated[int, Field(ge=1)] = Field(1, description="processes")
    health: Group[HealthCheck] | None = Field(
        None, description="active checks, or `off`; `{}`: with the defaults below"
    )
    poll: Group[PollPeriod] = Field(PollPeriod(), description="reading of the backends' metrics")
    holding: Group[HoldingRule] = like(Rules, "holding")
    ejection: Group[EjectionRule] = like(Rules, "ejection")
    retries: Group[RetryRule] = like(Rules, "retries")
    refusals: Group[RefusalRule] = like(Rules, "refusals")
    sharing: Group[SharingRule] | None = like(Rules, "sharing")
    session: Name | None = Field(
        None,
        description="header that identifies a session, in place of the beginning of its prompt; "
        "see [prefix caches](serve-caches.md)",
    )
    cache_homes: bool | None = Field(
        None,
        description="agree with other routers on a backend for each prompt, see "
        "[prefix caches](serve-caches.md); by default with several workers",
    )
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
        description="keys, of which each client needs one: `{env: NAME}`, separated by commas, or "
        "`{file: PATH}`, one per line; a name may precede each key; "
        "see [keys](serve-requests.md#keys)",
    )
    key_limits: dict[Name, Group[KeyLimit]] = Field(
        {},
        description="mapping from the name of a key, or a pattern, to its `{requests, tokens}` per "
        "minute; see [limits of keys](serve-requests.md#limits-of-keys)",
    )
    cors: Group[Cors] | None = Field(
        None,
        description="web pages that may call, or `off`; "
        "see [web pages](serve-requests.md#web-pages)",
    )
    distance: Group[ZoneDistances] | None = Field(
        None,
        description="what a request counts as taking longer in another zone; `measured` alone "
        "stands for `{measured: true}`; see [zones](serve-zones.md)",
    )
    picker: Group[PickerSettings] = Field(
        PickerSettings(), description="answers of `--plane picker`, see [it](endpoint-picker.md)"
    )
    models: Group[ModelListing] | None = Field(
        ModelListing(),
        description="how `GET /v1/models` is answered, or `off`; see "
        "[the list of models](serve-requests.md#the-list-of-models)",
    )
    residency: ResidencyEntry | None = Field(
        None,
        description="how models of backends with `memory` are told, loaded and unloaded, see "
        "[models in memory](serve-models.md)",
    )
    access_log: Name | None = Field(
        None,
        description="a file, `-` for stdout, or `off`; "
        "see [the access log](serve.md#the-access-log)",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="form of the log on stderr; see [the log](serve.md#the-log)"
    )
    tracing: Group[Tracing] | None = Field(
        None,
        description="traces and metrics for OpenTelemetry, or `off`; `{}`: with the defaults; see "
        "[tracing](tracing.md)",
    )
    learn: LearnEntry | None = Field(
        None,
        description="learning of curves; by default only for backends without a curve, see "
        "[learned curves](serve-learning.md)",
    )
    # The same as a pod's grace period in Kubernetes.
    drain: NotNegative = Field(
        30.0, description="time for requests in flight at the end", json_schema_extra=_SECONDS
    )
    drain_delay: NotNegative = Field(
        0.0,
        description="time after SIGTERM in which new requests are still accepted, before `drain` "
        "begins; see [the verb](serve.md#stopping)",
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

    @field_validator("distance", mode="before")
    @classmethod
    def _measured(cls, data: Any) -> Any:
        if data == "measured":
            return {"measured": True}
        if isinstance(data, str):
            text = f"is {data!r}; give measured, or seconds, as {{zone: 0.05, region: 0.2}}"
            raise PydanticCustomError("said", text)
        return data

    @field_validator("sizes", mode="before")
    @classmethod
    def _no_model_body(cls, data: Any) -> Any:
        if isinstance(data, dict) and "model_body" in data:
            raise PydanticCustomError(
                "said",
                "model_body is no longer supported: bodies are read for their model up to "
                "`body`; remove it",
            )
        return data
