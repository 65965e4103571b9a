"""Process of one emulated backend."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client.parser import text_string_to_metric_families

from isocline.demo.child import JobCounts, serve
from isocline.emulator import Emulator, Settings, start

_LATENCY = "vllm:e2e_request_latency_seconds"


@asynccontextmanager
async def backend(settings: Settings) -> AsyncIterator[tuple[int, Callable[[], JobCounts]]]:
    """Listens on a free port, which it tells."""
    emulator = await start(settings)
    try:
        yield emulator.port, lambda: _work(emulator)
    finally:
        await emulator.close()


def _work(emulator: Emulator) -> JobCounts:
    sharing = emulator.engine.sharing
    text = emulator.engine.metrics.text().decode()
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    completed, seconds = samples[f"{_LATENCY}_count"], samples[f"{_LATENCY}_sum"]
    return JobCounts(sharing.running + sharing.waiting, int(completed), seconds)


def main() -> None:
    """The process."""
    serve(backend)
