"""Support: settings of a system file that a picker cannot follow, refused by their names and lines.

A picker sees requests and responses, and carries neither: what guards, changes or resends them is
the affair of the gateway that asks it.
"""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from isocline.errors import UsageError
from isocline.gateway.config import BackendAddress
from isocline.gateway.serve.config import Serving
from isocline.model.systemfile.serving import Served
from isocline.planes.picker.endpoints import Endpoint
from isocline.planes.unsupported import Problem, changed, given, of_backends, refuse

_INVENTED = ".invalid"  # end of the names by which templates are checked, see `filled.samples`
# Keys of `serve` that are refused if given, with who does it in place of a picker.
_KEYS = {
    "api_keys": "have the gateway check keys: a picker cannot",
    "cors": "have the gateway answer web pages: a picker cannot",
    "key_limits": "have the gateway limit keys: a picker does not know them",
    "models": "is an answer, which a picker cannot give: /v1/models is routed like any request",
    "retries": "have the gateway retry: a picker does not send requests",
    "times": "have the gateway limit times: a picker carries no connections of clients or backends",
    "trusted": "have the gateway rewrite X-Forwarded-For, which a picker only reads",
}
_PARTS = {"sizes": ("replay", "buffer", "pool")}
_OF_BACKENDS = {
    "authorization": "have the gateway add it: a picker changes nothing of a request",
    "http2": "have the gateway choose the protocol: a picker does not send requests",
    "keep_host": "have the gateway rewrite Host: a picker changes nothing of a request",
}

# Keys of the document of `isocline serve --check` that are not shown, as they do not apply.
LACKING = frozenset(
    {
        *_KEYS,
        *(f"rules.{key}" for key in _KEYS),
        *(f"{group}.{name}" for group, names in _PARTS.items() for name in names),
        *(f"backends.{key}" for key in _OF_BACKENDS),
        *("frontends.resend_unanswered", "compiled"),
    }
)


def fit(served: Served, serving: Serving) -> Serving:
    """Settings as a picker serves them.

    Raises:
        SystemFileError: It cannot do all that a file asks for; the message names the line.
        UsageError: It cannot do what the command line asks for.
    """
    refuse(served, _problems(served, serving))
    if serving.workers > 1:
        raise UsageError(
            f"--workers: is {serving.workers}, but a picker is one process; start several pickers, "
            "which share nothing"
        )
    return replace(serving, models=None)


def _problems(served: Served, serving: Serving) -> Iterator[Problem]:
    serve = served.serve
    if serving.workers == serve.workers > 1:
        problem = f"is {serve.workers}, but a picker is one process"
        yield ("serve", "workers"), f"{problem}; start several pickers, which share nothing"
    yield from given(serve, _KEYS)
    yield from changed(serve, _PARTS, "is of connections, which a picker does not carry")
    if serve.learn is not None and serve.learn.ask_usage:
        problem = "changes bodies, which a picker only reads; leave it out, and have clients ask"
        yield ("serve", "learn", "ask_usage"), problem
    yield from of_backends(served.entries.backends, _OF_BACKENDS)
    for b, address in enumerate(serving.proxy.backends):
        try:
            Endpoint(_discovered(address))
        except UsageError as error:
            yield ("backends", b, "url"), str(error).removeprefix("url: ")
    for f, frontend in enumerate(served.entries.frontends):
        if frontend.resend_unanswered:
            problem = "have the gateway resend: a picker does not send requests; leave it out"
            yield ("frontends", f, "resend_unanswered"), problem


def _discovered(address: BackendAddress) -> BackendAddress:
    """Put an address in place of an invented name: endpoints that are discovered have one."""
    if not address.host.endswith(_INVENTED):
        return address
    url = urlsplit(address.url)
    return replace(address, url=url._replace(netloc="127.0.0.1:80").geturl())
