"""Published curves (`examples/curves`): how well points predict one that is held out; peaks."""

from functools import cache

import pytest
import yaml

import isocline
from isocline.measurements import MeasuredCurve
from isocline.measurements.reading import read_benchmarks
from isocline.measurements.runs import curve_of, curves_of, unit_of
from tests.docs.curve_library import KEYS, ROOT, Published, library

CURVES = library()
EACH = pytest.mark.parametrize("one", CURVES, ids=[one.path.stem for one in CURVES])
FELL = 0.05  # mean fall beyond the highest rate from which on it is a peak


@cache
def fitted(one: Published) -> MeasuredCurve:
    (found,) = curves_of(read_benchmarks([one.path]))
    return curve_of(found, unit_of(found.runs, None))


def test_there_are_many_from_many_hands() -> None:
    assert len(CURVES) >= 20
    assert len({one.facts["source"] for one in CURVES}) >= 8
    assert len({one.facts["hardware"] for one in CURVES}) >= 12


@EACH
def test_a_file_names_its_source_and_its_setting(one: Published) -> None:
    assert list(one.facts) == list(KEYS)
    assert all(one.facts.values())
    assert one.facts["source"].startswith("https://")
    workloads = [point.workload for point in one.points]
    assert workloads == sorted(set(workloads))
    assert len(workloads) >= 4


@EACH
def test_what_is_read_is_what_is_written(one: Published) -> None:
    curve = fitted(one)
    assert curve.unit == {"requests": "jobs", "tokens": "tokens"}[one.unit]
    assert all(point.source.startswith(str(one.path)) for point in curve.points)
    if len(curve.points) == len(one.points):  # else some are at one workload
        found = [(point.workload, point.rate) for point in curve.points]
        assert found == [tuple(point) for point in one.points]


def test_nine_held_out_points_in_ten_are_predicted_to_ten_percent() -> None:
    errors = [abs(held.error) for one in CURVES for held in fitted(one).held_out]
    assert len(errors) > 150
    close = sum(error <= 0.1 for error in errors)
    assert close >= 0.9 * len(errors), f"{close} of {len(errors)}"
    assert sorted(errors)[len(errors) // 2] < 0.04


@EACH
def test_a_peak_is_found_where_there_is_one(one: Published) -> None:
    curve = fitted(one)
    if one.fall > FELL:
        assert curve.peak is not None
        assert curve.peak.workload == pytest.approx(one.highest.workload)
        beyond = {point for point in one.points if point.workload > one.highest.workload}
        assert {cut.point.workload for cut in curve.cut} <= {point.workload for point in beyond}
    else:
        assert not curve.cut
    assert curve.curve.supremum == pytest.approx(one.highest.rate, rel=0.1)


def test_some_have_a_peak() -> None:
    assert sum(one.fall > FELL for one in CURVES) >= 2


def test_the_fleet_of_the_examples_has_the_figures_of_the_files_it_names() -> None:
    path = ROOT / "examples" / "gpu_fleet.yaml"
    text = path.read_text()
    kinds = {key: it for key, it in yaml.safe_load(text).items() if key.startswith("x-")}
    assert len(kinds) == 3
    for line in text.splitlines():
        if line.startswith("x-"):
            named = line.rpartition("# ")[2].removesuffix(".csv")
            (one,) = [curve for curve in CURVES if curve.path.stem == named]
            points = kinds[line.partition(":")[0]]["points"]
            assert points == [list(point) for point in one.points]
    assert isocline.plan(isocline.load(path)).status == "optimal"
