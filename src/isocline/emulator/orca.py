"""The load report in a response's header: ORCA, `endpoint-load-metrics` (TEXT and JSON forms).

As in the ORCA design of Envoy and gRPC, and as vLLM writes it: a request may ask for a form with
the header `endpoint-load-metrics-format`.
"""

import json

REQUEST_HEADER = b"endpoint-load-metrics-format"
FORMS = ("text", "json", "off")


def header_lines(form: str, running: int, waiting: int) -> list[str]:
    """The header line, or none for the form "off"."""
    metrics = {"num_requests_running": running, "num_requests_waiting": waiting}
    if form == "json":
        report = "JSON " + json.dumps({"named_metrics": metrics})
    elif form == "text":
        report = "TEXT " + ", ".join(f"named_metrics.{name}={n}" for name, n in metrics.items())
    else:
        return []
    return [f"endpoint-load-metrics: {report}"]
