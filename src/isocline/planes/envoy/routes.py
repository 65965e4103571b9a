"""Routes: conditions of frontends in Envoy's words, in the order of the system file.

Envoy chooses a virtual host by its most specific domain, and a route by order. Frontends are
matched in order, so there is one virtual host for all domains, and a host's pattern is a condition
of the route. The `model` field of a body is read by the filter `json_to_metadata`, which keeps the
body until it is complete and has the route chosen again.
"""

import re
from collections.abc import Iterable
from typing import Any

from isocline.gateway.config import FrontendRule, ProxySettings
from isocline.gateway.serve.config import Serving

Json = dict[str, Any]

NAMESPACE, MODEL = "isocline", "model"  # of the metadata that the filter writes
_TYPE = "type.googleapis.com/envoy.extensions."
_SAFE = "connect-failure,refused-stream,reset-before-request"
_NOT_FOUND = "no frontend takes this listener, host, path, headers and model"


def rules_of(proxy: ProxySettings, listener: str) -> list[FrontendRule]:
    """Frontends that take requests of a listener, in order."""
    return [rule for rule in proxy.frontends if rule.match.listener in (None, listener)]


def routing_table(serving: Serving, listener: str) -> Json:
    """Route configuration of a listener."""
    proxy = serving.proxy
    rules = rules_of(proxy, listener)
    host: Json = {
        "name": "all",
        "domains": ["*"],
        "routes": [*(_route(serving, rule) for rule in rules), _not_found()],
    }
    if any(it.reports == "ask" for it in proxy.backends):
        host["request_headers_to_add"] = [_ask_for_reports()]
    if reads_models(rules):
        host["request_body_buffer_limit"] = proxy.sizes.body
    return {"name": listener, "virtual_hosts": [host], "validate_clusters": False}


def reads_models(rules: Iterable[FrontendRule]) -> bool:
    """Whether a frontend is chosen by the model of the body."""
    return any(rule.match.model is not None for rule in rules)


def model_filter() -> Json:
    """Filter that reads the `model` field of JSON bodies."""
    rule = {
        "selectors": [{"key": "model"}],
        "on_present": {"metadata_namespace": NAMESPACE, "key": MODEL},
    }
    return {
        "name": "envoy.filters.http.json_to_metadata",
        "typed_config": {
            "@type": f"{_TYPE}filters.http.json_to_metadata.v3.JsonToMetadata",
            "request_rules": {"rules": [rule], "allow_empty_content_type": True},
        },
    }


def regular_expression(pattern: str) -> str:
    """RE2 expression for a whole text that matches a shell-style pattern, as `fnmatch` has it."""
    found, i = [], 0
    while i < len(pattern):
        letter = pattern[i]
        end = pattern.find("]", i + 2 + (pattern[i + 1 : i + 2] == "!")) if letter == "[" else -1
        if letter == "*":
            found.append(".*")
        elif letter == "?":
            found.append(".")
        elif end > 0:
            found.append(_letters(pattern[i + 1 : end]))
            i = end
        else:
            found.append(re.escape(letter))
        i += 1
    return "(?s)" + "".join(found)


def _letters(among: str) -> str:
    """Class of characters; in a pattern's, only `!` at its beginning and `-` mean anything."""
    begin = "^" if among.startswith("!") else ""
    inner = among.removeprefix("!") if begin else among
    return f"[{begin}{''.join(f'{chr(92)}{c}' if c in '[]^&|~' + chr(92) else c for c in inner)}]"


def _route(serving: Serving, rule: FrontendRule) -> Json:
    match = rule.match
    path = match.path.rstrip("/")
    found: Json = {"path_separated_prefix": path} if path else {"prefix": "/"}
    headers = [_header(name.lower(), pattern) for name, pattern in match.headers.items()]
    if match.host is not None:
        host = regular_expression(match.host.lower()).removeprefix("(?s)")
        headers.append(_header(":authority", f"(?is){host}(:[0-9]*)?", is_expression=True))
    if headers:
        found["headers"] = headers
    if match.model is not None:
        value = {"string_match": _text_match(regular_expression(match.model))}
        found["dynamic_metadata"] = [
            {"filter": NAMESPACE, "path": [{"key": MODEL}], "value": value}
        ]
    return {"name": rule.name, "match": found, "route": _action(serving, rule)}


def _action(serving: Serving, rule: FrontendRule) -> Json:
    proxy = serving.proxy
    return {
        "cluster": rule.name,
        "timeout": seconds(proxy.times.total),
        "idle_timeout": seconds(longest_silence(proxy)),
        "retry_policy": _retries(serving),
        "auto_host_rewrite": not all(it.keep_host for it in proxy.backends),
        "cluster_not_found_response_code": "SERVICE_UNAVAILABLE",
    }


def _retries(serving: Serving) -> Json:
    """Retries of what no backend can have begun; each attempt waits for its first byte so long."""
    rule = serving.rules.retries
    return {
        "retry_on": _SAFE,
        "num_retries": rule.attempts - 1,
        "per_try_timeout": seconds(serving.proxy.times.first_byte),
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": f"{_TYPE}retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
    }


def longest_silence(proxy: ProxySettings) -> float:
    """Time without a byte after which a request is given up, s.

    Envoy's limit holds also before the response begins.
    """
    return max(proxy.times.idle, proxy.times.first_byte)


def _header(name: str, pattern: str, *, is_expression: bool = False) -> Json:
    expression = pattern if is_expression else regular_expression(pattern)
    return {"name": name, "string_match": _text_match(expression)}


def _text_match(expression: str) -> Json:
    return {"safe_regex": {"regex": expression}}


def _ask_for_reports() -> Json:
    """Field by which a backend is asked for a load report, see `gateway.load_reports.orca`."""
    field = {"key": "endpoint-load-metrics-format", "value": "TEXT"}
    return {"header": field, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _not_found() -> Json:
    return {
        "name": "none",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": _NOT_FOUND}},
    }


def seconds(value: float) -> str:
    """Time as protobuf's JSON has it, to the nanosecond."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
