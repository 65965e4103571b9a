"""Schema of backends in system files."""

import re
from abc import ABC
from typing import Annotated, Any, Literal, final

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from isocline.model.systemfile.curve_schema import AnyCurve
from isocline.model.systemfile.record import Name, NotNegative, Number, Record, SettingsRecord

REPORTS = Literal[
    "auto", "orca", "vllm", "sglang", "tgi", "triton", "llamacpp", "trtllm", "dynamo", "none"
]
MOST_WEIGHT = 1e6  # far beyond any fleet; with larger ones, curves are numerically straight lines


def _publishes(address: str) -> str:
    if not re.fullmatch(r"tcp://[^\s/*]+:\d{1,5}", address):
        raise PydanticCustomError(
            "said", f"is {address!r}; give tcp://HOST:PORT, the endpoint of its events"
        )
    return address


@final
class Secret(Record):
    """Place of a secret: a variable of the environment, or a file."""

    env: Name | None = None
    file: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_in_the_file(cls, data: Any) -> Any:
        # The value may be the secret itself, so no message repeats it.
        is_one = isinstance(data, dict) and len(data) == 1
        if not is_one or not {"env", "file"}.issuperset(data):
            raise PydanticCustomError(
                "said",
                "is not shown here; a system file must not contain a secret: "
                "give {env: NAME} or {file: PATH}",
            )
        return data


class BackendServing(SettingsRecord, ABC):
    """Keys of a backend that only serving uses."""

    url: str | None = Field(
        None,
        description="`http://HOST:PORT` or `https://HOST:PORT`, optionally with a path; needed",
    )
    report: REPORTS = Field(
        "auto",
        description="how the backend reports its load, see "
        "[load reports](serve-overload.md#load-reports); `auto`: detect it",
    )
    metrics: Name | None = Field(
        None,
        description="metrics page: a path below `url`, or a full URL; by default the usual ones",
    )
    authorization: Secret | None = Field(
        None,
        description="sent in place of the client's key: a key, or the header's full value; "
        "`{env: NAME}` or `{file: PATH}`",
    )
    ca_file: Name | None = Field(
        None, description="CA certificates for `https`; by default the system's"
    )
    keep_host: bool = Field(
        True, description="pass on the client's Host; `false`: Host is the backend's"
    )
    http2: bool = Field(
        False,
        description="speak HTTP/2 with the backend, as gRPC needs it; only with "
        "[`--plane envoy`](envoy.md)",
    )
    cache_events: Annotated[str, AfterValidator(_publishes)] | None = Field(
        None,
        description="`tcp://HOST:PORT` at which the backend publishes its KV cache events, see "
        "[prefix caches](serve-caches.md)",
    )
    cache_replay: Annotated[str, AfterValidator(_publishes)] | None = Field(
        None, description="`tcp://HOST:PORT` at which it repeats those that were missed"
    )
    cache_ranks: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="its data-parallel ranks, each with a cache, and ports one higher"
    )
    weight: Annotated[Number, Field(gt=0, le=MOST_WEIGHT)] = Field(
        1.0,
        description="machines for which the backend counts, see [weights](admin.md#weights)",
    )
    zone: Name | None = Field(
        None, description="its zone, as `eu-1a` or `REGION/ZONE`, see [zones](serve-zones.md)"
    )
    max_share: Annotated[Number, Field(gt=0, le=1)] = Field(
        1.0,
        description="greatest share of each frontend's requests, for instance for a canary, see "
        "[shares](admin.md#shares)",
    )


@final
class BackendCache(Record):
    """Prefix cache of one backend."""

    tokens: Annotated[int, Field(ge=0)]


class BackendKeys(BackendServing, ABC):
    """Keys that a backend of the file and a template of discovered ones have in common."""

    curve: AnyCurve | None = None
    prefix_cache: BackendCache | None = None
    memory: NotNegative | None = None
    resident: list[Name] = Field([])


@final
class BackendEntry(BackendKeys):
    """One entry of `backends`; only `isocline serve` does without a curve."""

    name: Name
