"""Health checks and polls from a system file's entries."""

from isocline.gateway.health_checks import Checks, HealthCheck, Poll
from isocline.model.systemfile import Served
from isocline.model.systemfile.schema import BackendEntry
from isocline.model.systemfile.serving_schema import given

_SERVERS = {
    "auto": "auto",
    "vllm": "vllm",
    "sglang": "sglang",
    "tgi": "tgi",
    "triton": "triton",
    "llamacpp": "llama.cpp",
    "trtllm": "trtllm",
    "dynamo": "dynamo",
}


def checks_of(served: Served) -> Checks:
    """Read health checks, if any, and a poll for each backend that may be polled.

    Raises:
        SystemFileError: A path or a time is invalid.
    """
    entry = served.serve.health
    with served.document.blaming("serve", "health"):
        health = None if entry is None else HealthCheck(**given(entry))
    entries = enumerate(served.entries.backends)
    return Checks(health, tuple(_poll(served, b, backend) for b, backend in entries))


def _poll(served: Served, b: int, backend: BackendEntry) -> Poll | None:
    if backend.report not in _SERVERS:
        if backend.metrics is not None:
            problem = f"is {backend.metrics!r}, and report: {backend.report} reads none; "
            known = ", ".join(_SERVERS)
            served.document.fail(("backends", b, "metrics"), f"{problem}give report: {known}")
        return None
    options = given(served.serve.poll)
    if backend.metrics is not None:
        options["path"] = backend.metrics
    with served.document.blaming("backends", b, "metrics"):
        return Poll(_SERVERS[backend.report], **options)
