"""GET /metrics, in vLLM's names (vLLM, "Production Metrics"), and one that says what it is."""

from collections.abc import Callable, Iterable
from typing import final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from isocline.emulator.sharing import ProcessorSharing

# vLLM's buckets for these two, with finer ones below: emulated requests may take milliseconds.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5)
_MORE_SECONDS = (5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0)

_LABELS = ("model_name", "engine")


@final
class Metrics:
    """Counters of one server; the workload is read when it is asked for."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self,
        model: str,
        sharing: ProcessorSharing,
        adapters: Callable[[], tuple[set[str], int, float]] | None = None,
    ) -> None:
        """Initialise; `adapters` tells those in service, how many are loaded, and the time, s."""
        self._registry = CollectorRegistry()
        labels = {"model_name": model, "engine": "0"}
        self._registry.register(_Workload(labels, sharing))
        if adapters is not None:
            self._registry.register(_Adapters(adapters))

        def counter(name: str, what: str) -> Counter:
            return Counter(name, what, _LABELS, registry=self._registry).labels(**labels)

        def seconds(name: str, what: str) -> Histogram:
            buckets = (*_SECONDS, *_MORE_SECONDS)
            made = Histogram(name, what, _LABELS, registry=self._registry, buckets=buckets)
            return made.labels(**labels)

        emulated = "isocline_emulator", "1: an emulation of vLLM, not vLLM."
        Gauge(*emulated, registry=self._registry).set(1.0)
        self.prompt_tokens = counter("vllm:prompt_tokens", "Tokens read.")
        self.generation_tokens = counter("vllm:generation_tokens", "Tokens written.")
        self.prefix_queries = counter("vllm:prefix_cache_queries", "Tokens looked up in the cache.")
        self.prefix_hits = counter("vllm:prefix_cache_hits", "Tokens found in the cache.")
        success = Counter(
            "vllm:request_success",
            "Requests served, by how they ended.",
            (*_LABELS, "finished_reason"),
            registry=self._registry,
        )
        self.served = success.labels(**labels, finished_reason="length")
        self.aborted = success.labels(**labels, finished_reason="abort")
        self.first_token = seconds("vllm:time_to_first_token_seconds", "Of streamed requests.")
        self.latency = seconds("vllm:e2e_request_latency_seconds", "From arrival to last token.")

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)


@final
class _Workload(Collector):
    def __init__(self, labels: dict[str, str], sharing: ProcessorSharing) -> None:
        self._labels = labels
        self._sharing = sharing

    def collect(self) -> Iterable[Metric]:
        sharing = self._sharing
        yield self._gauge("running", "Requests in service.", sharing.running)
        yield self._gauge("waiting", "Requests waiting to be served.", sharing.waiting)

    def _gauge(self, state: str, what: str, value: int) -> Metric:
        family = GaugeMetricFamily(f"vllm:num_requests_{state}", what, labels=_LABELS)
        family.add_metric([self._labels[name] for name in _LABELS], value)
        return family


@final
class _Adapters(Collector):
    """vLLM's gauge of adapters: its labels are the facts, its value is when they were so."""

    def __init__(self, adapters: Callable[[], tuple[set[str], int, float]]) -> None:
        self._adapters = adapters

    def collect(self) -> Iterable[Metric]:
        running, loaded, now = self._adapters()
        names = ("max_lora", "running_lora_adapters", "waiting_lora_adapters")
        family = GaugeMetricFamily("vllm:lora_requests_info", "Adapters in service.", labels=names)
        family.add_metric([str(loaded), ",".join(sorted(running)), ""], now)
        yield family
