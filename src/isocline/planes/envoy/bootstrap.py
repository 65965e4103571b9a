"""Bootstrap: all that Envoy is to know of a router, as the JSON that it reads.

Listeners, routes, clusters and endpoints are files in one folder, which Envoy watches; the
bootstrap names them. `complete` is the same in one document, to be checked by
`envoy --mode validate` before any file is written.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, final

from isocline.gateway.config import Listener
from isocline.gateway.serve.config import Serving
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.clusters import Balancing, cluster, document, endpoints, file_name
from isocline.planes.envoy.routes import (
    Json,
    longest_silence,
    model_filter,
    reads_models,
    routing_table,
    rules_of,
    seconds,
)
from isocline.planes.envoy.statistics import FIELDS

_TYPE = "type.googleapis.com/envoy.extensions."
STATISTICS = "serve"  # of listeners, after `http.`
# Fields that a client may write to look like a proxy; Envoy writes its own.
_FORGED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-real-ip")
# Fields of the gateway's own access log, as far as Envoy knows them.
_LINE = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%PATH(NQ:PATH)%",
    "status": "%RESPONSE_CODE%",
    "frontend": "%UPSTREAM_CLUSTER%",
    "backend": "%UPSTREAM_METADATA(isocline:backend)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "received": "%BYTES_RECEIVED%",
    "returned": "%BYTES_SENT%",
    "reason": "%RESPONSE_CODE_DETAILS%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "protocol": "%PROTOCOL%",
}
# Types of errors, as the gateway has them, by the first of these statuses that one is not above.
_KINDS = ((403, "invalid_request_error"), (404, "not_found_error"), (499, "invalid_request_error"))


@final
class Folder(NamedTuple):
    """Files by which this process and Envoy speak, in a folder of their own."""

    path: Path

    @property
    def bootstrap(self) -> Path:
        """The document that Envoy is started with."""
        return self.path / "bootstrap.json"

    @property
    def admin(self) -> Path:
        """Socket of Envoy's own admin listener."""
        return self.path / "admin.sock"

    @property
    def events(self) -> Path:
        """Pipe on which Envoy tells of attempts and of health."""
        return self.path / "events"

    @property
    def prices(self) -> Path:
        """Table of prices, which the module reads."""
        return self.path / "prices"

    @property
    def clusters(self) -> Path:
        """Clusters."""
        return self.path / "clusters.json"

    @property
    def listeners(self) -> Path:
        """Listeners."""
        return self.path / "listeners.json"

    def endpoints(self, frontend: str) -> Path:
        """Endpoints of a frontend's cluster."""
        return self.path / file_name(frontend)

    def routes(self, listener: int) -> Path:
        """Routes of a listener, by its number."""
        return self.path / f"routes-{listener}.json"

    def certificate(self, listener: int) -> Path:
        """Certificate and key of a listener, by its number."""
        return self.path / f"certificate-{listener}.json"


def bootstrap(serving: Serving, folder: Folder) -> Json:
    """Bootstrap that names the files of a folder."""
    return {
        **_common(serving, folder),
        "dynamic_resources": {
            "cds_config": _from(folder.clusters),
            "lds_config": _from(folder.listeners),
        },
    }


def complete(
    serving: Serving, folder: Folder, balancing: Balancing, addresses: Mapping[str, Address]
) -> Json:
    """Bootstrap that holds everything itself."""
    frontends = range(len(serving.proxy.frontends))
    clusters = [
        cluster(serving, f, balancing, folder.events)
        | {"type": "STATIC", "load_assignment": endpoints(serving, f, addresses)}
        for f in frontends
    ]
    listeners = [
        _listener(serving, folder, number, listener, inline=True)
        for number, listener in enumerate(serving.proxy.listeners)
    ]
    resources = {"clusters": clusters, "listeners": listeners}
    return {**_common(serving, folder), "static_resources": resources}


def files(
    serving: Serving,
    folder: Folder,
    balancing: Balancing,
    addresses: Mapping[str, Address],
    version: str,
) -> dict[Path, dict[str, Any]]:
    """Contents of all files but the bootstrap, in the order in which Envoy should see changes.

    Endpoints go before the clusters that need them, and clusters before the routes that name them.
    """
    proxy = serving.proxy
    found: dict[Path, dict[str, Any]] = {}
    for f, frontend in enumerate(proxy.frontends):
        own = endpoints(serving, f, addresses)
        kind = "endpoint.v3.ClusterLoadAssignment"
        found[folder.endpoints(frontend.name)] = document([own], kind, version)
    clusters = [
        cluster(serving, f, balancing, folder.events) | _discovered(folder, frontend.name)
        for f, frontend in enumerate(proxy.frontends)
    ]
    found[folder.clusters] = document(clusters, "cluster.v3.Cluster", version)
    for number, listener in enumerate(proxy.listeners):
        routes = routing_table(serving, listener.name)
        kind = "route.v3.RouteConfiguration"
        found[folder.routes(number)] = document([routes], kind, version)
        if listener.tls:
            kind = "envoy.extensions.transport_sockets.tls.v3.Secret"
            secret = {"@type": f"type.googleapis.com/{kind}", **_secret(listener)}
            found[folder.certificate(number)] = {"version_info": version, "resources": [secret]}
    listeners = [
        _listener(serving, folder, number, listener, inline=False)
        for number, listener in enumerate(proxy.listeners)
    ]
    found[folder.listeners] = document(listeners, "listener.v3.Listener", version)
    return found


def _common(serving: Serving, folder: Folder) -> Json:
    connections = {
        "@type": f"{_TYPE}resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": serving.proxy.sizes.connections,
    }
    monitor = "envoy.resource_monitors.global_downstream_max_connections"
    return {
        "node": {"id": "isocline", "cluster": serving.system.name or "isocline"},
        "admin": {"address": {"pipe": {"path": str(folder.admin), "mode": 0o600}}},
        "overload_manager": {"resource_monitors": [{"name": monitor, "typed_config": connections}]},
        "stats_config": {"stats_tags": []},
    }


def _from(path: Path) -> Json:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def _discovered(folder: Folder, frontend: str) -> Json:
    source = {"eds_config": _from(folder.endpoints(frontend))}
    return {"type": "EDS", "eds_cluster_config": source}


def _listener(
    serving: Serving, folder: Folder, number: int, listener: Listener, *, inline: bool
) -> Json:
    chain: Json = {"filters": [_connection_manager(serving, folder, number, listener, inline)]}
    if listener.tls:
        chain["transport_socket"] = _tls(folder, number, listener, inline)
    address = {"address": listener.host, "port_value": listener.port}
    return {
        "name": listener.name,
        "address": {"socket_address": address},
        "per_connection_buffer_limit_bytes": serving.proxy.sizes.buffer,
        "filter_chains": [chain],
    }


def _connection_manager(
    serving: Serving, folder: Folder, number: int, listener: Listener, inline: bool
) -> Json:
    times, sizes = serving.proxy.times, serving.proxy.sizes
    routes: Json = {"route_config": routing_table(serving, listener.name)}
    if not inline:
        source = _from(folder.routes(number))
        routes = {"rds": {"route_config_name": listener.name, "config_source": source}}
    models = [model_filter()] if reads_models(rules_of(serving.proxy, listener.name)) else []
    manager = {
        "@type": f"{_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"{STATISTICS}.{listener.name}",
        "codec_type": "AUTO",
        **routes,
        "http_filters": [*models, _router(folder)],
        "common_http_protocol_options": {
            "idle_timeout": seconds(times.keep_alive),
            "max_headers_count": sizes.header_count,
            "max_stream_duration": seconds(times.total),
        },
        "max_request_headers_kb": min(max(-(-sizes.head // 1024), 1), 8192),
        "request_headers_timeout": seconds(times.header),
        "stream_idle_timeout": seconds(longest_silence(serving.proxy)),
        "use_remote_address": True,
        # Else a client could set limits and retries by headers of Envoy's.
        "internal_address_config": {"unix_sockets": False},
        "early_header_mutation_extensions": [_without_forged()],
        "upgrade_configs": [{"upgrade_type": name} for name in serving.proxy.upgrades],
        "server_header_transformation": "PASS_THROUGH",
        "local_reply_config": _local_replies(),
    }
    if serving.access_log is not None:
        manager["access_log"] = [_log(serving.access_log, _LINE)]
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _local_replies() -> Json:
    """Errors of Envoy's own, in OpenAI's form."""
    return {
        "mappers": [
            {
                "filter": {
                    "status_code_filter": {
                        "comparison": {
                            "op": "LE",
                            "value": {"default_value": status, "runtime_key": "isocline.none"},
                        }
                    }
                },
                "body_format_override": _error(kind),
            }
            for status, kind in _KINDS
        ],
        "body_format": _error("server_error"),
    }


def _error(kind: str) -> Json:
    error = {"message": "%LOCAL_REPLY_BODY%", "type": kind, "code": "%RESPONSE_CODE%"}
    return {"json_format": {"error": error}}


def _router(folder: Folder) -> Json:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": f"{_TYPE}filters.http.router.v3.Router",
            "suppress_envoy_headers": True,
            "upstream_log": [_events(folder)],
            "upstream_log_options": {"flush_upstream_log_on_upstream_stream": True},
        },
    }


def _log(path: str, form: Mapping[str, str]) -> Json:
    log: Json = {"log_format": {"json_format": dict(form)}}
    if path == "-":
        return _logger("stdout", "stream.v3.StdoutAccessLog", log)
    return _logger("file", "file.v3.FileAccessLog", log | {"path": path})


def _events(folder: Folder) -> Json:
    """Log of attempts; as text, which takes Envoy 7 us of each request less than JSON."""
    form = {"text_format_source": {"inline_string": "\t".join(FIELDS.values()) + "\n"}}
    log = {"path": str(folder.events), "log_format": form}
    return _logger("file", "file.v3.FileAccessLog", log)


def _logger(name: str, kind: str, log: Json) -> Json:
    typed = {"@type": f"{_TYPE}access_loggers.{kind}", **log}
    return {"name": f"envoy.access_loggers.{name}", "typed_config": typed}


def _without_forged() -> Json:
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPE}http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [{"remove": name} for name in _FORGED],
        },
    }


def _tls(folder: Folder, number: int, listener: Listener, inline: bool) -> Json:
    common: Json = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
    }
    if inline:
        common["tls_certificates"] = [_secret(listener)["tls_certificate"]]
    else:
        source = _from(folder.certificate(number))
        common["tls_certificate_sds_secret_configs"] = [
            {"name": listener.name, "sds_config": source}
        ]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
        },
    }


def _secret(listener: Listener) -> Json:
    """Certificate and key as they are now: a renewal is a change that Envoy sees."""
    assert listener.tls is not None
    certificate = Path(listener.tls.certificate).read_text(encoding="ascii")
    key = Path(listener.tls.key or listener.tls.certificate).read_text(encoding="ascii")
    return {
        "name": listener.name,
        "tls_certificate": {
            "certificate_chain": {"inline_string": certificate},
            "private_key": {"inline_string": key},
        },
    }
