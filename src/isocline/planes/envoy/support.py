"""Support: settings of a system file that Envoy cannot follow, each refused by its name and line.

What a file does not give has defaults, of which those in this list are the gateway's alone; the
page on the plane says what Envoy does in their place.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from isocline.gateway.serve.config import Serving
from isocline.model.systemfile.backend_schema import BackendEntry
from isocline.model.systemfile.serving import Served
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.clusters import backends_of, system_authorities
from isocline.planes.envoy.policy_prices import require_prices
from isocline.planes.unsupported import BUILT_IN, Problem, changed, given, refuse
from isocline.policies.parse import parse

# Keys of `serve` that are refused if given, with what Envoy lacks.
_KEYS = {
    "admin_control": "takes control calls only without --plane",
    "api_keys": "cannot be checked by Envoy, which would need the keys themselves",
    "cors": "is answered by the gateway",
    "distance": "enters prices by frontend, and Envoy's are by backend alone",
    "holding": "needs a queue at each frontend, which Envoy has not",
    "key_limits": "counts in the gateway",
    "models": "is answered by the gateway",
    "poll": "is of load reports to the gateway",
    "refusals": "is of the gateway: Envoy passes 429 and 503 on",
    "session": "needs the prefix caches of the gateway",
    "sharing": "needs a queue at each frontend, which Envoy has not",
    "slow_start": "counts jobs, and Envoy's own slow start counts seconds",
    "stop_at_peak": "needs a queue at each frontend, which Envoy has not",
    "tracing": "is exported by the gateway",
    "trusted": "cannot be told apart by Envoy, which replaces what all clients say of themselves",
}
# Keys of groups, refused where they differ from their defaults.
_PARTS = {
    "picker": ("endpoints", "conformance"),
    "retries": ("least", "window"),
    "times": ("tunnel", "linger"),
    "sizes": ("bodies", "replay", "pool"),
}

# Keys of the document of `isocline serve --check` that are not shown, as they do not apply.
LACKING = frozenset(
    {
        *_KEYS,
        *(f"rules.{key}" for key in _KEYS),
        *(f"rules.{group}.{name}" for group, names in _PARTS.items() for name in names),
        *(f"{group}.{name}" for group, names in _PARTS.items() for name in names),
        *(f"backends.{key}" for key in ("authorization", "poll", "max_share")),
        *("frontends.resend_unanswered", "cache_homes", "prefix_caches", "picker", "compiled"),
    }
)


def fit(served: Served, serving: Serving) -> Serving:
    """Settings as Envoy serves them, which are those of the file.

    Raises:
        SystemFileError: It cannot; the message names the line.
        PolicyError: The policy of the command line has no prices.
    """
    refuse(served, _problems(served, serving))
    if served.serve.policy == serving.policy:
        with served.document.blaming("serve", "policy"):
            require_prices(parse(serving.policy))
    require_prices(parse(serving.policy))
    return serving


def same_addresses(served: Served, addresses: dict[str, Address]) -> None:
    """Raise SystemFileError if two backends are one endpoint, as prices are by address."""
    seen: dict[Address, str] = {}
    for b, backend in enumerate(served.entries.backends):
        address = addresses.get(backend.name)
        if address is None:
            continue
        if address in seen:
            problem = f"is {address}, as that of {seen[address]!r}; Envoy knows backends by address"
            served.document.fail(("backends", b, "url"), f"{problem}, so give each its own")
        seen[address] = backend.name


def _problems(served: Served, serving: Serving) -> Iterator[Problem]:
    serve = served.serve
    yield from given(serve, _KEYS)
    yield from changed(serve, _PARTS, "is a setting that Envoy has not")
    if serve.learn is not None and serve.learn.work == "tokens":
        yield ("serve", "learn", "work"), f"counts tokens of responses in the gateway; {BUILT_IN}"
    if served.system.has_caches:
        yield ("prefix_cache",), f"is followed by the gateway alone; {BUILT_IN}"
    for b, backend in enumerate(served.entries.backends):
        for key, why in _of_backend(backend):
            yield ("backends", b, key), f"{why}; {BUILT_IN}"
    for f, frontend in enumerate(served.entries.frontends):
        if frontend.resend_unanswered:
            yield ("frontends", f, "resend_unanswered"), f"is of the gateway; {BUILT_IN}"
    yield from _mixed(served, serving)


def _of_backend(backend: BackendEntry) -> Iterator[tuple[str, str]]:
    url = urlsplit(backend.url or "")
    if url.path.rstrip("/"):
        yield "url", "has a path, which Envoy cannot put before those of one backend's requests"
    if url.scheme == "https" and backend.ca_file is None and system_authorities() is None:
        yield "ca_file", "is missing, and this system has no file of certificates to trust"
    for key in ("authorization", "cache_events", "metrics"):
        if getattr(backend, key) is not None:
            yield key, "is of the gateway"
    if backend.report not in ("auto", "orca", "none"):
        yield "report", "is polled by the gateway; Envoy reads reports in responses alone"
    if backend.max_share != 1.0:
        yield "max_share", "is a limit that the gateway counts"


def _mixed(served: Served, serving: Serving) -> Iterator[Problem]:
    """Settings that Envoy has for all backends, or for all of a frontend, and not for one."""
    for f in range(len(served.entries.frontends)):
        own = backends_of(serving, f)
        if len({it.http2 for it in own}) > 1:
            problem = "have some with http2 and some without"
            remedy = "Envoy speaks one protocol with all of a frontend's; give each the same"
            yield ("frontends", f, "backends"), f"{problem}: {remedy}"
    kept = [it.keep_host for it in serving.proxy.backends]
    if len(set(kept)) > 1:
        at = kept.index(False)
        problem = "is false here and true of another backend; give all the same"
        yield ("backends", at, "keep_host"), problem
