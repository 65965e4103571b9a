"""LoRA adapters in service at a vLLM server, by its metrics.

`vllm:lora_requests_info` has the facts in its labels and the time, s since 1970, as its value: of
several series the latest counts (vLLM, "Production Metrics").
"""

import re

_SERIES = re.compile(r"^vllm:lora_requests_info\{(.*)\}\s+([0-9.eE+-]+)", re.MULTILINE)
_NAMES = re.compile(r'(?:running|waiting)_lora_adapters="([^"]*)"')


def adapters_in(text: str) -> set[str]:
    """Names of the adapters that requests use, on a page of metrics; they are loaded."""
    latest = max(_SERIES.findall(text), key=_time, default=None)
    if latest is None:
        return set()
    lists = _NAMES.findall(latest[0])
    return {name.strip() for one in lists for name in one.split(",") if name.strip()}


def _time(series: tuple[str, str]) -> float:
    try:
        return float(series[1])
    except ValueError:
        return 0.0
