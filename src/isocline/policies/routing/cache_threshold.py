"""Cache threshold: the backend with most of the prompt cached, unless workloads are unbalanced.

`cache_aware` of SGLang's router and of Shepherd Model Gateway (lightseekorg/smg,
model_gateway/src/policies/cache_aware.rs; defaults of August 2026). Unbalanced: the largest
workload is more than `absolute` jobs above the smallest, and more than `relative` times as large;
then, and where no backend has more than the share `threshold` of the prompt cached, fewest jobs.
Both are blind to speed. The routers predict caches from what they sent; here they are known.

Where all jobs are alike nothing is cached: fewest jobs. Draws: one per tie. Memory: none.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.policies.routing.contract import (
    CHOOSE,
    PROMPT,
    UNCACHED,
    FloatArray,
    RoutingPolicy,
    Setting,
    View,
    no_table,
)
from isocline.policies.routing.picks import challenge

THRESHOLD, ABSOLUTE, RELATIVE = 0, 1, 2  # options


@value_as(CHOOSE)
def best_overlap(candidates: Any, view: View, now: float, rng: Any) -> int:  # noqa: ARG001
    """Of the candidates with most of the prompt cached, or of all, the one with the fewest jobs."""
    most, fewest, least_unread = 0.0, np.inf, np.inf
    for edge in candidates:
        jobs = float(view.workload[view.backend[edge]])
        most, fewest = max(most, jobs), min(fewest, jobs)
        if view.work.shape[0] > 0:
            least_unread = min(least_unread, view.work[edge, UNCACHED])
    unbalanced = most - fewest > view.option[ABSOLUTE] and most > view.option[RELATIVE] * fewest
    cached = False
    if view.work.shape[0] > 0 and not unbalanced:
        cached = view.job[PROMPT] - least_unread > view.option[THRESHOLD] * view.job[PROMPT]
    best, lowest, tied = candidates[0], np.inf, 0
    for edge in candidates:
        if cached and view.work[edge, UNCACHED] > least_unread:
            continue
        value = float(view.workload[view.backend[edge]])
        taken, tied = challenge(value, lowest, tied, rng)
        if taken:
            best, lowest = edge, value
    return best  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class CacheThreshold(RoutingPolicy):
    """Best overlap above `threshold`; fewest jobs beyond `absolute` jobs and `relative` times."""

    name: ClassVar[str] = "cache_threshold"
    choose = best_overlap
    reads_tokens: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = True
    threshold: float = 0.3
    absolute: float = 64.0
    relative: float = 1.5

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise PolicyError(
                f"cache_threshold:threshold={self.threshold:g}: threshold is a share, 0 to 1"
            )
        for name, value, least in (("absolute", self.absolute, 0), ("relative", self.relative, 1)):
            if not (math.isfinite(value) and value >= least):
                raise PolicyError(
                    f"cache_threshold:{name}={value:g}: {name} is a number of at least {least}"
                )

    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        return no_table(setting, workloads)

    def option(self) -> FloatArray:
        return np.array([self.threshold, self.absolute, self.relative])
