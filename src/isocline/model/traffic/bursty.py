"""A generated trace as bursty as the Azure code trace, for when no real one is at hand."""

from dataclasses import dataclass
from typing import final

import numpy as np

from isocline.arguments import at_least, checked
from isocline.model.traffic.trace import FloatArray, Trace


@final
@dataclass(frozen=True)
class _Lognormal:
    mean: float
    cv: float
    most: float

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """(count,) whole tokens between 1 and `most`."""
        variance = np.log1p(self.cv**2)
        tokens = rng.lognormal(np.log(self.mean) - variance / 2.0, np.sqrt(variance), count)
        return np.clip(np.rint(tokens), 1.0, self.most)


# Measured in the Azure code trace of 2023 (8 819 requests in 57 min, gaps of cv 13.2). It is a
# sequence of bursts: of its gaps, 45 are longer than 10 s, with mean 52.8 s and cv 0.92; the burst
# lengths between them have mean 192 and cv 0.93; both are close to memoryless. Within a burst the
# mean gap is 0.121 s. So: after each request a pause with probability 1/192, exponential gaps
# otherwise. Then E[gap] = 0.395 s and E[gap^2] = 2 (52.8^2 / 192 + 0.121^2) = 29.1 s^2: cv 13.6.
_BURST = 192.0  # requests
_PAUSE = 52.8  # s
_GAP = 0.121  # s
# Prompts: mean 2 048 and cv 0.96, cut at 7 437 tokens, which takes 8 % from a log-normal's mean.
# Outputs: mean 27.9, cv 2.15.
_PROMPT = _Lognormal(2230.0, 1.2, most=7437.0)
_OUTPUT = _Lognormal(27.9, 2.15, most=2000.0)


@checked(requests=at_least(2), seed=at_least(0))
def bursty_trace(requests: int = 9000, seed: int = 0) -> Trace:
    """About an hour of bursts at 2.5 requests/s; the same for the same arguments."""
    rng = np.random.default_rng(seed)
    pause = rng.random(requests) < 1.0 / _BURST
    gaps = rng.standard_exponential(requests) * np.where(pause, _PAUSE, _GAP)
    times = np.cumsum(gaps) - gaps[0]
    prompt, output = _PROMPT.sample(rng, requests), _OUTPUT.sample(rng, requests)
    return Trace(f"generated (bursty, seed {seed})", times, prompt, output)
