"""Load reports on responses: the header `endpoint-load-metrics`.

Open Request Cost Aggregation (ORCA) of xDS, as Envoy reads it (source/common/orca/orca_parser.cc)
and vLLM writes it:

    endpoint-load-metrics: TEXT named_metrics.num_requests_running=3, named_metrics.x=0.4
    endpoint-load-metrics: JSON {"named_metrics": {"num_requests_running": 3}}

The jobs at a backend are those that it runs and those that wait there; a report that leaves one of
the two out is ignored. This is the case with vLLM 0.32, which reports only those that wait, and
only in responses that are not streamed: its metrics page has both. The form BIN, base64 of a
protocol buffer, is not read.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from isocline.gateway.load_reports.numbers import ReportError, count

HEADER = "endpoint-load-metrics"
RUNNING, WAITING = "num_requests_running", "num_requests_waiting"
_PREFIX = "named_metrics."


def jobs_in_header(value: str) -> int | None:
    """Return the jobs in a header's value; None if they are not there.

    Raises:
        ReportError: An unknown form, one that is malformed, or a count that is none.
    """
    form, _, rest = value.strip().partition(" ")
    match form:
        case "TEXT":
            named = _text(rest)
        case "JSON":
            named = _json(rest)
        case "BIN":
            return None
        case _:
            raise ReportError(f"{HEADER} begins with {form[:40]!r}; TEXT or JSON is wanted")
    if RUNNING not in named or WAITING not in named:
        return None
    return round(sum(count(name, one) for name in (RUNNING, WAITING) for one in named[name]))


def _text(rest: str) -> Mapping[str, Sequence[str]]:
    """Parse `key=value` pairs with commas between: named metrics, their keys without the prefix.

    vLLM gives a key once for each of its engines, in no certain order.
    """
    named: dict[str, list[str]] = {}
    for pair in rest.split(","):
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals:
            raise ReportError(f"{HEADER}: {pair.strip()[:40]!r} is not key=value")
        if key.startswith(_PREFIX):
            named.setdefault(key.removeprefix(_PREFIX), []).append(value.strip())
    return named


def _json(rest: str) -> Mapping[str, Sequence[str]]:
    """Parse the named metrics; a protocol buffer's JSON may spell them in camel case."""
    try:
        # Numbers stay text, so that both forms are held to the same rules.
        report = json.loads(rest, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{HEADER} is not JSON: {str(error)[:80]}") from None
    named: Any = {}
    if isinstance(report, dict):
        named = report.get("named_metrics", report.get("namedMetrics", {}))
    if not isinstance(named, dict):
        raise ReportError(f"{HEADER}: named_metrics is not an object")
    return {key: [value if isinstance(value, str) else str(value)] for key, value in named.items()}
