"""Load report in a response's header: ORCA, `endpoint-load-metrics` (TEXT and JSON forms).

A request asks for a form with the header `endpoint-load-metrics-format`. vLLM 0.32 then tells how
many requests wait and how full its KV cache is, of completions that are not streamed, and never how
many run; so does an emulated server, unless it is to tell all.
"""

import json

REQUEST_HEADER = b"endpoint-load-metrics-format"
FORMS = ("text", "json", "off")


def header_lines(form: str, running: int, waiting: int, tells_all: bool) -> list[str]:
    """The header line, or none for the form "off"; `tells_all`: those that run, too."""
    metrics = {"num_requests_running": float(running)} if tells_all else {}
    metrics |= {"num_requests_waiting": float(waiting)}
    if not tells_all:
        metrics |= {"kv_cache_usage_perc": 0.0}  # there is no cache
    if form == "json":
        report = "JSON " + json.dumps({"named_metrics": metrics})
    elif form == "text":
        report = "TEXT " + ", ".join(f"named_metrics.{name}={n}" for name, n in metrics.items())
    else:
        return []
    return [f"endpoint-load-metrics: {report}"]
