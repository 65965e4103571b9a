"""Kinds of model servers, recognised by their metrics pages, and their counts of running jobs.

| server | jobs in service | jobs that wait |
|---|---|---|
| vLLM | `vllm:num_requests_running` | `vllm:num_requests_waiting` |
| SGLang | `sglang:num_running_reqs` | `sglang:num_queue_reqs` |
| TGI | `tgi_batch_current_size` | `tgi_queue_size` |
| Triton with TensorRT-LLM | `nv_trt_llm_request_metrics{request_type="scheduled"}` | `"waiting"` |
| llama.cpp | `llamacpp:requests_processing` | `llamacpp:requests_deferred` |
| TensorRT-LLM (trtllm-serve) | `trtllm_num_requests_running` | `trtllm_num_requests_waiting` |
| Dynamo's frontend | `dynamo_frontend_active_requests` | are among them |

Older frontends of Dynamo have `dynamo_frontend_inflight_requests` in its place. A worker of Dynamo
has its engine's metrics on its system port, and is read as that engine.
"""

import re
from dataclasses import dataclass
from typing import final

from isocline.gateway.load_reports.numbers import ReportError
from isocline.gateway.load_reports.prometheus import Series

Counts = tuple[Series, ...]
"""Metrics whose sum is the jobs at a server."""


@final
@dataclass(frozen=True)
class Server:
    """Kind of model server.

    Attributes:
        name: Name in error messages and `Poll.server`.
        title: Name in prose.
        prefix: Prefix of the names of its metrics, and of no other server's.
        counts: Metrics whose sum is its jobs; for several versions, the newest first.
        path: Path of its metrics page.
    """

    name: str
    title: str
    prefix: str
    counts: tuple[Counts, ...]
    path: str = "/metrics"

    def jobs(self, text: str) -> int | None:
        """Number of jobs on its page; None if it is not there.

        Raises:
            ReportError: A line of these metrics cannot be read, or one of two metrics is missing.
        """
        for counts in self.counts:
            totals = [series.total(text) for series in counts]
            known = [total for total in totals if total is not None]
            if len(known) == len(counts):
                return round(sum(known))
            if known:
                missing = counts[totals.index(None)].name
                raise ReportError(f"{missing} is missing, so that the jobs there are not known")
        return None

    def has_page(self, text: str) -> bool:
        """Whether a page has, or announces, any of its metrics."""
        return self.prefix in text and bool(_begins(self.prefix).search(text))


def _begins(prefix: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*(?:#[ \t]+(?:HELP|TYPE)[ \t]+)?{re.escape(prefix)}", re.MULTILINE)


_VLLM = (Series("vllm:num_requests_running"), Series("vllm:num_requests_waiting"))
_TRITON = "nv_trt_llm_request_metrics"
_SERVERS = (
    # An emulated vLLM has vLLM's metrics, and this one more: it comes first.
    Server("emulator", "isocline backend", "isocline_emulator", (_VLLM,)),
    Server("vllm", "vLLM", "vllm:", (_VLLM,)),
    Server(
        "sglang",
        "SGLang",
        "sglang:",
        ((Series("sglang:num_running_reqs"), Series("sglang:num_queue_reqs")),),
    ),
    Server("tgi", "TGI", "tgi_", ((Series("tgi_batch_current_size"), Series("tgi_queue_size")),)),
    Server(
        "triton",
        "Triton",
        "nv_trt_llm_",
        ((Series(_TRITON, 'request_type="scheduled"'), Series(_TRITON, 'request_type="waiting"')),),
    ),
    Server(
        "llama.cpp",
        "llama.cpp",
        "llamacpp:",
        ((Series("llamacpp:requests_processing"), Series("llamacpp:requests_deferred")),),
    ),
    Server(
        "trtllm",
        "TensorRT-LLM",
        "trtllm_",
        ((Series("trtllm_num_requests_running"), Series("trtllm_num_requests_waiting")),),
        # Not /metrics: a reader there takes statistics away from all others.
        path="/prometheus/metrics",
    ),
    Server(
        "dynamo",
        "Dynamo's frontend",
        "dynamo_frontend_",
        (
            (Series("dynamo_frontend_active_requests"),),
            (Series("dynamo_frontend_inflight_requests"),),
        ),
    ),
)
SERVERS = {server.name: server for server in _SERVERS}
PATHS = tuple(dict.fromkeys(server.path for server in _SERVERS))
"""Where servers have their metrics, the most usual place first."""


def server_of(text: str) -> Server | None:
    """Return the server of a metrics page; None if it is unknown."""
    return next((server for server in _SERVERS if server.has_page(text)), None)


def jobs_in_metrics(text: str, server: str = "auto") -> int | None:
    """Return the jobs in a server's metrics; None if they are not there.

    A server that has not served anything yet may have none of these series, as a vLLM with data
    parallelism: it holds 0 jobs.

    Args:
        text: Metrics page.
        server: Name of SERVERS; `auto` detects it from the page.

    Raises:
        ReportError: A line of these series cannot be read, or the page is of another server.
        KeyError: No such server.
    """
    found = server_of(text)
    wanted = found if server == "auto" else SERVERS[server]
    if wanted is None:
        return None
    jobs = wanted.jobs(text)
    if jobs is None and wanted.has_page(text):
        return 0
    if jobs is None and found is not None:
        raise ReportError(
            f"the page is that of {found.title}, not of {wanted.title}; give its name, or auto"
        )
    return jobs
