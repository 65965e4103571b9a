"""Service curves of measured points: benchmark results in, curve entries of system files out.

Read `points` (what a measurement found), then `curve` (the curve fitted to them).
"""

from isocline.measurements.curve import HeldOut as HeldOut
from isocline.measurements.curve import MeasuredCurve as MeasuredCurve
from isocline.measurements.curve import measured_curve as measured_curve
from isocline.measurements.points import MeasuredPoint as MeasuredPoint
