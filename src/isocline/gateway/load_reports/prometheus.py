"""Metrics that model servers offer for scraping, in the Prometheus text format (version 0.0.4).

| server | jobs in service | jobs that wait |
|---|---|---|
| vLLM | `vllm:num_requests_running` | `vllm:num_requests_waiting` |
| SGLang | `sglang:num_running_reqs` | `sglang:num_queue_reqs` |
| TGI | `tgi_batch_current_size` | `tgi_queue_size` |
| Triton with TensorRT-LLM | `nv_trt_llm_request_metrics{request_type="scheduled"}` | `"waiting"` |
| llama.cpp | `llamacpp:requests_processing` | `llamacpp:requests_deferred` |

A series with several label sets, as one for each `engine` of vLLM, is summed. All other lines are
passed over, whatever they hold.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from isocline.gateway.load_reports.numbers import ReportError, count


@final
@dataclass(frozen=True)
class Series:
    """One metric, or those of its label sets that hold a label."""

    name: str
    label: str = ""  # as `request_type="waiting"`

    def total(self, text: str) -> float | None:
        """The sum of its values; None if there is none."""
        values = []
        for line in self._lines(text):
            found = _SAMPLE.fullmatch(line)
            if not found:
                raise ReportError(f"{self.name}: a line of it is not `name{{labels}} value`")
            if self._holds(found[1] or ""):
                values.append(count(self.name, found[2]))
        return sum(values) if values else None

    def _lines(self, text: str) -> Iterator[str]:
        """What follows the name in each line that begins with it, found at the speed of memory."""
        at = text.find(self.name)
        while at >= 0:
            start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
            end = len(text) if end < 0 else end
            rest = text[at + len(self.name) : end]
            if rest[:1] in ("", " ", "\t", "\r", "{") and not text[start:at].strip(" \t"):
                yield rest
            at = text.find(self.name, end)

    def _holds(self, labels: str) -> bool:
        return not self.label or self.label in _LABEL.findall(labels)


# Labels, in whose quotes may be anything; the value; and perhaps a time, ms.
_SAMPLE = re.compile(
    r"[ \t]*+(?:\{((?:[^\"{}]|\"(?:[^\"\\]|\\.)*+\")*+)\})?+(?!\{)"
    r"[ \t]*+(\S++)(?:[ \t]++-?[0-9]++)?+[ \t\r]*+"
)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*+=\"(?:[^\"\\]|\\.)*+\"")


@final
@dataclass(frozen=True)
class Server:
    """Where a model server's counts stand."""

    name: str
    running: Series
    waiting: Series


_TRITON = "nv_trt_llm_request_metrics"
SERVERS = {
    server.name: server
    for server in (
        Server("vllm", Series("vllm:num_requests_running"), Series("vllm:num_requests_waiting")),
        Server("sglang", Series("sglang:num_running_reqs"), Series("sglang:num_queue_reqs")),
        Server("tgi", Series("tgi_batch_current_size"), Series("tgi_queue_size")),
        Server(
            "triton",
            Series(_TRITON, 'request_type="scheduled"'),
            Series(_TRITON, 'request_type="waiting"'),
        ),
        Server(
            "llama.cpp",
            Series("llamacpp:requests_processing"),
            Series("llamacpp:requests_deferred"),
        ),
    )
}


def jobs_in_metrics(text: str, server: str = "auto") -> int | None:
    """The jobs that a server's metrics tell of; None if they do not say.

    Args:
        text: What it answers to GET /metrics.
        server: A name of SERVERS; `auto` takes the first whose two series are there.

    Raises:
        ReportError: A line of these series cannot be read.
        KeyError: No such server.
    """
    for one in SERVERS.values() if server == "auto" else [SERVERS[server]]:
        running, waiting = one.running.total(text), one.waiting.total(text)
        if running is not None and waiting is not None:
            return round(running + waiting)
    return None
