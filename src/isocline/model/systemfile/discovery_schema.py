"""Schema of `discover` in system files: sources of backends, and templates for their keys.

An entry names one source. Each endpoint that the source finds becomes a backend, with the keys of
the first template that it matches (`filled`).
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self, final

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from isocline.model.endpoint import Endpoint
from isocline.model.systemfile.backend_schema import BackendKeys
from isocline.model.systemfile.record import (
    Name,
    NotNegative,
    Positive,
    SettingsRecord,
)

# In texts of templates.
PLACES = ("{name}", "{address}", "{host}")
_EXAMPLES = {"name": "gpu-{name}", "url": "http://{address}"}
SOURCES = ("dns", "files", "kubernetes", "admin")
_SECONDS: dict[str, Any] = {"unit": "s"}
# HAProxy's `hold nx`, too: a zone that is being reloaded, or a list that is being written, is
# empty for a moment.
_DOUBT = 30.0  # s
Port = Annotated[int, Field(ge=1, le=65535)]


@final
class DnsEntry(SettingsRecord):
    """DNS name."""

    name: Name = Field(..., description="name to query")
    record: Literal["A", "AAAA", "both", "SRV"] = Field(
        "A",
        description="IPv4 or IPv6 addresses, or `both` if each server has only one of them; "
        "`SRV`: hosts and ports",
    )
    port: Port | None = Field(None, description="port of all addresses; `SRV` has its own")
    servers: list[Name] = Field(
        [], description="`ADDRESS` or `ADDRESS:PORT` of name servers; by default the system's"
    )
    # A headless service of Kubernetes has 5 to 30 s.
    shortest: Positive = Field(
        1.0,
        description="shortest time between two queries, if the TTL is below",
        json_schema_extra=_SECONDS,
    )
    longest: Positive = Field(
        60.0,
        description="longest time between two queries, if the TTL is above",
        json_schema_extra=_SECONDS,
    )
    timeout: Positive = Field(
        5.0, description="time for an answer from all servers together", json_schema_extra=_SECONDS
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.record == "SRV" and self.port is not None:
            raise PydanticCustomError("said", "port is given, and SRV has its own; leave it out")
        if self.record != "SRV" and self.port is None:
            raise PydanticCustomError("said", "port is missing; add it, as port: 8000")
        if self.shortest > self.longest:
            raise PydanticCustomError("said", "shortest is above longest; give less")
        return self


@final
class FilesEntry(SettingsRecord):
    """Watched files of targets, in the format of Prometheus' file_sd_configs."""

    paths: list[Name] = Field(
        ...,
        min_length=1,
        description="JSON or YAML files, or shell-style patterns; each file is a list of "
        "`{targets: [HOST:PORT, ...], labels: {...}}`",
    )
    every: Positive = Field(
        1.0, description="interval at which they are checked", json_schema_extra=_SECONDS
    )

    @field_validator("paths", mode="before")
    @classmethod
    def _one_path(cls, data: Any) -> Any:
        return [data] if isinstance(data, str) else data


@final
class KubernetesEntry(SettingsRecord):
    """EndpointSlices of a service in Kubernetes, by default in the router's own cluster."""

    service: Name = Field(..., description="name of the service; it may be headless")
    namespace: Name | None = Field(None, description="namespace; by default this pod's")
    port: Port | Name | None = Field(
        None, description="name or number of the port; needed if the service has several"
    )
    family: Literal["IPv4", "IPv6"] = Field(
        "IPv4", description="addresses to use if pods have both kinds"
    )
    zone: Name | None = Field(
        None,
        description="zone of this router: only endpoints whose hints name it are used "
        "(topology-aware routing), or all if no hints name it",
    )
    api: Name | None = Field(
        None, description="`https://HOST:PORT` of the API server; by default this cluster's"
    )
    token_file: Name | None = Field(
        None, description="token for the API, read for each request; by default this pod's"
    )
    ca_file: Name | None = Field(
        None, description="CA certificates for the API; by default this pod's"
    )


@final
class AdminEntry(SettingsRecord):
    """Backends put and deleted by calls of the admin listener."""

    file: Name | None = Field(
        None, description="file that keeps the backends across restarts, in the format of `files`"
    )


@final
class EndpointMatch(SettingsRecord):
    """Conditions on an endpoint, all of which it must meet."""

    name: Name | None = Field(None, description="shell-style pattern of the name")
    labels: dict[str, str] = Field(
        {},
        description="mapping from labels to patterns of values; see [labels](discovery.md#labels)",
    )


@final
class TemplateEntry(BackendKeys):
    """Keys of backends made from matching endpoints; `{address}` in `url` is the endpoint's."""

    match: EndpointMatch = Field(
        EndpointMatch(), description="endpoints for the template: those that meet all conditions"
    )
    frontends: list[Name] = Field(
        [],
        description="frontends that may use the backends, by name or pattern, besides those whose "
        "own `backends` name them",
    )
    name: Name = Field(
        "{name}", description="name of each backend; may contain `{name}`, `{address}` or `{host}`"
    )
    url: str = Field(
        "http://{address}",
        description="URL of each backend; may contain `{address}` (HOST:PORT), `{host}` or "
        "`{name}`, like `metrics` and `cache_events`",
    )

    @field_validator("name", "url", mode="after")
    @classmethod
    def _names_the_endpoint(cls, text: str, info: ValidationInfo) -> str:
        if not any(place in text for place in PLACES):
            raise PydanticCustomError(
                "said",
                "is {found}, the same for all; give {remedy}",
                {"found": repr(text), "remedy": repr(_EXAMPLES[info.field_name or ""])},
            )
        return text

    def places(self, endpoint: Endpoint) -> Callable[[str], str]:
        """Return a function that inserts an endpoint's name and address into a text."""
        values = (endpoint.name, endpoint.address, endpoint.host)

        def put(text: str) -> str:
            for place, value in zip(PLACES, values, strict=True):
                text = text.replace(place, value)
            return text

        return put

    def takes(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint meets all conditions."""
        match = self.match
        if match.name is not None and not fnmatchcase(endpoint.name, match.name):
            return False
        labels = endpoint.labels
        return all(
            name in labels and fnmatchcase(labels[name], pattern)
            for name, pattern in match.labels.items()
        )


@final
class DiscoverEntry(SettingsRecord):
    """One source of backends, and their templates."""

    name: Name = Field(..., description="name of the entry, for messages and calls; needed")
    dns: DnsEntry | None = Field(None, description="DNS name")
    files: FilesEntry | None = Field(None, description="watched files, as in Prometheus' file_sd")
    kubernetes: KubernetesEntry | None = Field(
        None, description="watched EndpointSlices of a service"
    )
    admin: AdminEntry | None = Field(
        None, description="calls of the admin listener; `{}`: kept only in memory"
    )
    hold_empty: NotNegative | None = Field(
        None,
        description="time for which backends stay after an empty answer; by default "
        f"{_DOUBT:g} s of `dns` and `files`, which may be empty by mistake, else 0",
        json_schema_extra=_SECONDS,
    )
    templates: list[TemplateEntry] = Field(
        [],
        description="keys of backends, by the first template that matches; endpoints without one "
        "are left out. Without templates, all endpoints are used",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            found = "no source is given" if not given else f"{' and '.join(given)} are given"
            raise PydanticCustomError(
                "said",
                "{found}; give one of {known}",
                {"found": found, "known": ", ".join(SOURCES)},
            )
        return self

    @property
    def doubt(self) -> float:
        """Time for which an empty answer is in doubt, s."""
        if self.hold_empty is not None:
            return self.hold_empty
        return 0.0 if self.dns is None and self.files is None else _DOUBT
