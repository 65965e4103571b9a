"""Settings of a router of replicas: what is refused, and with which remedy."""

from typing import Any

import numpy as np
import pytest

from isocline.errors import CurveError, PolicyError, UsageError
from isocline.integrations.router_settings import (
    read_cache_tokens,
    read_curve_of,
    read_settings,
)
from isocline.model.curves import HyperbolicCurve
from isocline.model.systemfile.serving_schema import ServeEntry

CURVE = {"type": "hyperbolic", "peak": 40.0, "half": 12.0}
CACHE = {"tokens": 1000, "prefill": 0.1, "output": 100.0}


def test_the_defaults_are_those_of_serve() -> None:
    assert read_settings({}).policy == ServeEntry.model_fields["policy"].default
    assert read_settings({"policy": None}) == read_settings({})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"polici": "jsq"}, "request_router_kwargs: polici: is an unknown key; did you mean"),
        ({"curve": CURVE | {"peak": -1}}, "curve.peak: is -1; give a number above 0"),
        ({"curve": {"type": "line"}}, "curve.type: unknown curve type 'line'"),
        ({"curve": 3}, "curve: is 3; give a mapping, as {type:"),
        ({"prefix_cache": {"tokens": 5}}, "prefix_cache.prefill: is missing; add it"),
        ({"prefix_cache": CACHE | {"tokens": -5}}, "prefix_cache.tokens: is -5; give"),
        ({"learn": 1}, "learn: is 1"),
        ({"curve": {1, 2}}, "give plain data, as JSON has it"),
        ({"policy": "gmsr_hold"}, "policy: gmsr_hold holds requests"),
        ({"policy": "jsq", "prefix_cache": CACHE}, "jsq does not consider what replicas have"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_settings(given)
    assert said in str(raised.value)
    assert ":1:" not in str(raised.value)  # there is no file with lines


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(PolicyError, match="unknown policy 'nope'"):
        read_settings({"policy": "nope"})


def test_a_replica_reports_its_curve_or_none() -> None:
    read = read_curve_of("r1", {"curve": CURVE, "else": 1})
    assert read is not None
    workloads = np.arange(1.0, 9.0)
    assert np.array_equal(read.rate(workloads), HyperbolicCurve(40.0, 12.0).rate(workloads))
    assert read_curve_of("r1", {}) is None


@pytest.mark.parametrize("wrong", [{"type": "line"}, "40", {1, 2}])
def test_a_report_that_is_no_curve_names_the_replica(wrong: Any) -> None:
    with pytest.raises(CurveError, match="replica r1: routing stats: curve: "):
        read_curve_of("r1", {"curve": wrong})


def test_a_replica_reports_the_size_of_its_cache_or_none() -> None:
    assert read_cache_tokens({"cache_tokens": 0}) == 0
    assert [read_cache_tokens({"cache_tokens": it}) for it in (None, -1, "9")] == [None] * 3
