"""EndpointSlices of one Kubernetes service: objects of the API in, endpoints out, without I/O.

API `discovery.k8s.io/v1`: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/

- An endpoint may be listed in several slices, for instance while they are rewritten, and each slice
  has addresses of one family. It counts as one server, identified by its pod's name, or else by its
  address.
- Ready endpoints are used; if there are none, those that still serve while they terminate, as in
  kube-proxy. One that terminates while others are ready gets no new requests and finishes those it
  has.
- Missing conditions have the API's defaults: ready, not terminating, serving if ready.
- With a zone, endpoints whose hints name it are used; all are used if one lacks hints or none names
  the zone (kube-proxy's rule for topology-aware routing).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, final

from isocline.gateway.discovery.source import SourceError
from isocline.model.endpoint import Endpoint, is_address, joined
from isocline.model.systemfile.discovery_schema import KubernetesEntry

GONE = 410  # HTTP status, also the code in events of type ERROR


class ExpiredError(SourceError):
    """The resourceVersion for the watch is too old: a new list is needed."""


class _Server(NamedTuple):
    """Address and conditions of an endpoint."""

    name: str
    family: str
    address: str
    ready: bool
    zones: frozenset[str]  # hints
    labels: Mapping[str, str]


@final
class EndpointSlices:
    """All slices of one service, as reported by list and watch.

    Attributes:
        version: resourceVersion from which the watch continues; empty: a list is needed.
    """

    def __init__(self, rule: KubernetesEntry) -> None:
        self.version = ""
        self._rule = rule
        self._slices: dict[str, Mapping[str, Any]] = {}

    def listed(self, pages: Iterable[Mapping[str, Any]]) -> None:
        """Replace all slices by those of a list, page by page.

        Raises:
            SourceError: The list is malformed; the slices are unchanged.
        """
        slices: dict[str, Mapping[str, Any]] = {}
        version = ""
        for page in pages:
            items, version = page.get("items"), _version(page)
            if not isinstance(items, list | None) or not version:
                raise SourceError("the list of EndpointSlices has no items and resourceVersion")
            for item in items or ():
                slices[_name(item)] = item
        self._slices, self.version = slices, version

    def event(self, line: bytes) -> bool:
        """Apply a line of a watch; returns whether endpoints may have changed.

        Raises:
            ExpiredError: A new list is needed.
            SourceError: The event is malformed; a new list is needed, too.
        """
        self.version = ""  # a new list is needed unless the event is valid
        try:
            event = json.loads(line)
            kind, item = event["type"], event["object"]
        except (ValueError, TypeError, KeyError) as error:
            raise SourceError(f"the watch sent a malformed event: {line[:80]!r}") from error
        if kind == "ERROR":
            self.refuse(item if isinstance(item, dict) else {})
        if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            raise SourceError(f"the watch sent an event of unknown type {kind!r}")
        if not isinstance(item, dict) or not (version := _version(item)):
            raise SourceError(f"the watch sent an event without resourceVersion: {line[:80]!r}")
        if kind == "DELETED":
            self._slices.pop(_name(item), None)
        elif kind != "BOOKMARK":
            self._slices[_name(item)] = item
        self.version = version
        return bool(kind != "BOOKMARK")

    def refuse(self, status: Mapping[str, Any]) -> None:
        """Raise an error for a Status object, which the API sends in place of an answer.

        Raises:
            ExpiredError: Code 410.
            SourceError: Any other code.
        """
        said = f"{status.get('reason') or 'error'}: {status.get('message') or 'without a message'}"
        if status.get("code") == GONE:
            self.version = ""
            raise ExpiredError(said)
        raise SourceError(said)

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints that may get requests, sorted by name.

        Raises:
            SourceError: The port is missing, or several match.
        """
        servers: dict[str, _Server] = {}
        for server in self._servers():
            known = servers.get(server.name)
            if known is None or self._rank(server) > self._rank(known):
                servers[server.name] = server
        ready = [it for it in servers.values() if it.ready]
        taken = self._near(ready or list(servers.values()))
        return [
            Endpoint(it.name, it.address, it.labels) for it in sorted(taken, key=lambda it: it.name)
        ]

    def _rank(self, server: _Server) -> tuple[bool, bool]:
        return server.ready, server.family == self._rule.family

    def _near(self, servers: list[_Server]) -> list[_Server]:
        zone = self._rule.zone
        if zone is None or not all(it.zones for it in servers):
            return servers
        return [it for it in servers if zone in it.zones] or servers

    def _servers(self) -> Iterator[_Server]:
        """Yield all serving endpoints, ready or terminating; one may be yielded repeatedly."""
        for number, item in sorted(self._slices.items()):
            try:
                yield from self._of(item)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                raise SourceError(f"EndpointSlice {number} is malformed: {error!r}") from error

    def _of(self, item: Mapping[str, Any]) -> Iterator[_Server]:
        endpoints = item.get("endpoints") or ()
        if not endpoints:
            return
        port = self._port(item)
        family = item["addressType"]
        of_all = {"namespace": item["metadata"].get("namespace", ""), "service": self._rule.service}
        for endpoint in endpoints:
            conditions = endpoint.get("conditions") or {}
            terminating = bool(conditions.get("terminating"))
            ready = _or(conditions.get("ready"), True) and not terminating
            serving = _or(conditions.get("serving"), _or(conditions.get("ready"), True))
            if not ready and not (terminating and serving):
                continue
            address = joined(endpoint["addresses"][0], port)
            if not is_address(address):
                raise SourceError(f"{address!r} is not an address")
            target = endpoint.get("targetRef") or {}
            pod = target.get("name", "") if target.get("kind") == "Pod" else ""
            hints = (endpoint.get("hints") or {}).get("forZones") or ()
            labels = {
                **of_all,
                "pod": pod,
                "node": endpoint.get("nodeName") or "",
                "zone": endpoint.get("zone") or "",
                "hostname": endpoint.get("hostname") or "",
            }
            zones = frozenset(hint["name"] for hint in hints)
            yield _Server(pod or address, family, address, ready, zones, labels)

    def _port(self, item: Mapping[str, Any]) -> int:
        """Return the port with the rule's name or number; without a rule, the only port."""
        wanted, ports = self._rule.port, item.get("ports") or ()
        known = [
            (it.get("name") or "", it["port"])
            for it in ports
            if it.get("port") and it.get("protocol", "TCP") == "TCP"
        ]
        found = [port for name, port in known if wanted in (None, name, port)]
        if len(found) == 1:
            return int(found[0])
        listed = ", ".join(f"{name or 'without a name'} ({port})" for name, port in known)
        asked = f"has no port {wanted}" if wanted else f"has {len(known)} ports"
        raise SourceError(
            f"service {self._rule.service} {asked}; give kubernetes.port one of: {listed or 'none'}"
        )


def _or(value: bool | None, default: bool) -> bool:
    return default if value is None else bool(value)


def _version(item: Mapping[str, Any]) -> str:
    metadata = item.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""


def _name(item: Any) -> str:
    """Return a slice's name, which is unique within its namespace."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        raise SourceError("an EndpointSlice has no metadata.name")
    return name
