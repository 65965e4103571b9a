"""A sweep's result, made by hand."""

from isocline.measurements import measured_curve
from isocline.sweep import SweepResult, Visited
from isocline.sweep.decide import Level, Stop, Why
from isocline.sweep.rate import Rate
from isocline.sweep.result import points_of

TROUBLE = "20 of 44 requests failed: status 429 (20); the server throttles, Retry-After 2"


def sweep(
    why: Why = Why.LIMIT,
    *,
    interrupted: bool = False,
    unreached: int | None = None,
    model: str = "llama-8b",
) -> SweepResult:
    """Levels 1, 4, 16 that count, and 64 that does not."""
    rates = {1: 4.4, 4: 14.0, 16: 20.5}
    levels = [
        Level(n, Rate(n - 0.01, rate, 0.01 * rate, 25.0 * rate, 25.0, n / rate))
        for n, rate in rates.items()
    ]
    visits = [
        Visited(n, 30.0 * i, 30.0, rate, 0.01 * rate, 25.0 * rate, {}, "")
        for i, (n, rate) in enumerate(rates.items())
    ]
    failed = Visited(64, 90.0, 2.0, None, None, 24.0, {"status 429": 20}, TROUBLE)
    return SweepResult(
        url="http://127.0.0.1:8000",
        model=model,
        curve=measured_curve(points_of(levels), "jobs", model or "measured"),
        visits=(*visits, failed),
        stopped=Stop(why, 0.04, 7.0, unreached),
        interrupted=interrupted,
        seconds=93.0,
        limit=120.0,
        precision=0.05,
        prompt_tokens=131.0,
        output_tokens=128.0,
    )
