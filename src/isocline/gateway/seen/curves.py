"""Curves out of snapshots."""

from pydantic import TypeAdapter

from isocline.gateway.seen.snapshot import LearnedCurve, LiveBackend
from isocline.model.curves import Curve, TableCurve
from isocline.model.systemfile.schema import AnyCurve


def curve_of(live: LiveBackend) -> Curve:
    """What a backend's curve is believed to be, jobs/s.

    Raises:
        CurveError: What was learned so far is none.
    """
    if live.learned is not None:
        return _learned(live.learned)
    made: Curve = TypeAdapter(AnyCurve).validate_python(live.given).make()
    return made


def _learned(learned: LearnedCurve) -> TableCurve:
    """The mean of what the workers have learned, by how many completions each rests on."""
    points = sorted(learned.points.items())
    return TableCurve(tuple((n, rate / weight) for n, (rate, weight) in points))
