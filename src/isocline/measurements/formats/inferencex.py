"""Results of InferenceX (once InferenceMAX): objects with `conc` and rates per GPU, or a list.

`tput_per_gpu` is of all tokens; `output_tput_per_gpu`, tokens/s of answers, is times `tp`, or,
where prefill and decode have machines of their own (`disagg`), times `num_decode_gpu`. Results of
2025 do not have it. `mean_e2el` is in s, so that requests/s follow by Little's law. Its dashboard
has the rates in an object `metrics`, and the machine as `hardware` where files have `hw`.
"""

from collections.abc import Mapping
from typing import Any

from isocline.measurements.formats.fields import Fields
from isocline.measurements.runs import BenchmarkRun

_RATES = ("output_tput_per_gpu", "tput_per_gpu")
# What tells curves apart.
_LABELS = (
    "hw", "hardware", "model", "infmax_model_prefix", "framework", "precision", "isl", "osl", "tp",
    "ep", "dp_attention", "spec_decoding", "spec_method", "mtp", "disagg", "num_prefill_gpu",
    "num_decode_gpu", "decode_tp", "decode_ep", "decode_dp_attention", "image", "date",
)  # fmt: skip


def matches(document: Any) -> bool:
    """Whether it is a result, or a list of them."""
    if isinstance(document, list):
        return bool(document) and all(_is_result(one) for one in document)
    return _is_result(document)


def _is_result(one: Any) -> bool:
    if not isinstance(one, Mapping) or "conc" not in one:
        return False
    metrics = one.get("metrics")
    rates = metrics if isinstance(metrics, Mapping) else one
    return any(name in rates for name in _RATES)


def read(document: Any, source: str) -> list[BenchmarkRun]:
    """The runs of a result, or of a list.

    Raises:
        UsageError: A field is missing or wrong.
    """
    if not isinstance(document, list):
        return [_run(Fields(document, source))]
    return [_run(Fields(one, source, f"[{i}]")) for i, one in enumerate(document)]


def _run(one: Fields) -> BenchmarkRun:
    rates = one.below("metrics") or one
    conc = one.above_0("conc")
    latency = rates.maybe_above_0("mean_e2el")
    tokens = rates.maybe_above_0("output_tput_per_gpu")
    if latency is None and tokens is None:
        rates.fail(
            "output_tput_per_gpu",
            "is missing, and so is mean_e2el: neither rate is known; leave the result out",
        )
    return BenchmarkRun(
        source=f"{one.source}, {one.path}" if one.path else one.source,
        workload=conc,
        requests=None if latency is None else conc / latency,
        tokens=None if tokens is None else tokens * _machines(one),
        labels={name: one.text(name) for name in _LABELS if one.text(name)},
    )


def _machines(one: Fields) -> float:
    """GPUs that the rate of answers is divided by."""
    disagg = one.text("disagg").lower() == "true"
    names = ("num_decode_gpu",) if disagg else ("tp", "decode_tp", "num_decode_gpu")
    return one.above_0(next((name for name in names if name in one), names[0]))
