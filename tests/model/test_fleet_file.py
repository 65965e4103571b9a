"""Files of kind fleet give the problem they describe; each kind of bad file gives its message."""

from pathlib import Path

import numpy as np
import pytest

from isocline.errors import SystemFileError, UsageError
from isocline.model.curves import HyperbolicCurve, ServersCurve
from isocline.model.fleet_problem import Demand, MachineType
from isocline.model.systemfile import load
from isocline.model.systemfile.fleet_file import fleet_notes, load_fleet
from isocline.model.traffic import DeterministicSizes, ExponentialSizes, Sizes, Trace
from isocline.model.traffic.busiest_windows import Window, busiest_windows
from isocline.model.traffic.sizes import LognormalSizes
from isocline.model.traffic.trace import Mix

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet.yaml"
GOOD = """\
kind: fleet
types:
- {name: h100, price: 4, curve: {type: hyperbolic, peak: 40.0, half: 12.0}, at_most: 8}
- {name: l4, price: 0.5, curve: {type: hyperbolic, peak: 6.0, half: 5.0}, at_least: 2}
frontends:
- {name: eu, rate: 12.0, types: ["*"]}
- {name: us, rate: 8.0, types: [l4]}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "machines.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(SystemFileError) as caught:
        load_fleet(path)
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(f"{path}:")


def test_a_file_gives_the_problem_it_describes(tmp_path: Path) -> None:
    problem = load_fleet(write(tmp_path, GOOD))
    assert problem.name == "machines"
    assert [each.name for each in problem.types] == ["h100", "l4"]
    assert problem.types[0].curve == HyperbolicCurve(40.0, 12.0)
    assert [(each.at_least, each.at_most) for each in problem.types] == [(0, 8), (2, None)]
    assert problem.prices.tolist() == [4.0, 0.5]
    assert problem.graph.neighbours(0).tolist() == [0, 1]
    assert problem.graph.neighbours(1).tolist() == [1]
    assert problem.demands == (Demand("demand", (12.0, 8.0)),)
    assert fleet_notes(problem) == []


def test_the_example_has_two_demands_and_work_in_tokens() -> None:
    problem = load_fleet(EXAMPLE)
    assert [each.name for each in problem.demands] == ["day", "night"]
    assert problem.curves[0].supremum == pytest.approx(17852 / 232.7)


def test_counts_make_a_system(tmp_path: Path) -> None:
    text = GOOD.replace("at_least: 2", 'url: "http://l4-{n}:8000"')
    problem = load_fleet(write(tmp_path, text))
    system = problem.system([1, 2], problem.demands[0])
    assert [b.name for b in system.backends] == ["h100-1", "l4-1", "l4-2"]
    assert [b.url for b in system.backends] == [None, "http://l4-1:8000", "http://l4-2:8000"]
    assert system.graph.neighbours(0).tolist() == [0, 1, 2]
    assert system.graph.neighbours(1).tolist() == [1, 2]
    alone = problem.system([0, 1], Demand("us", (0.0, 3.0)))
    assert [f.name for f in alone.frontends] == ["us"]


def test_work_of_frontends_is_by_type_or_by_all(tmp_path: Path) -> None:
    text = GOOD.replace("[l4]}", "[l4], work: 3}").replace(
        '["*"]}', '["*"], work: {h100: 2, l4: 5}}'
    )
    problem = load_fleet(write(tmp_path, text))
    assert problem.edge_work is not None
    assert problem.edge_work.tolist() == [2.0, 5.0, 3.0]
    in_tokens = load_fleet(write(tmp_path, text + "work: {unit: tokens, mean: 2}\n"))
    assert in_tokens.edge_work is not None
    assert in_tokens.edge_work.tolist() == [1.0, 2.5, 1.5]


BUSY = "time,work\n" + "".join(f"{t},{w}\n" for t, w in [(0, 1), (9, 1), (11, 1), (12, 8), (29, 1)])


def test_demands_of_a_trace_are_its_busiest_windows(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(BUSY)
    trace = (
        "trace: {file: log.csv, columns: {time: time, work: work}, window: 10, busiest: 2}\n"
        "work: {unit: tokens, mean: 1}\n"
    )
    text = GOOD.replace("rate: 12.0, ", "").replace("rate: 8.0, ", "") + trace
    problem = load_fleet(write(tmp_path, text))
    assert [each.name for each in problem.demands] == ["10 s", "0 s"]
    assert problem.work.mean == pytest.approx(12 / 5)
    first, second = problem.demands
    assert first.rates == pytest.approx((0.1, 0.1))  # two requests, shared alike
    assert first.work * problem.work.mean == pytest.approx(4.5)
    assert second.work * problem.work.mean == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("works", "sizes", "wanted"),
    [
        ((1.0, 3.0), "", LognormalSizes(0.5)),
        ((2.0, 2.0), "", DeterministicSizes()),
        ((1.0, 3.0), "sizes: {type: exponential}\n", ExponentialSizes()),
    ],
)
def test_jobs_of_a_trace_vary_as_its_own_do(
    works: tuple[float, float], sizes: str, wanted: Sizes, tmp_path: Path
) -> None:
    rows = "".join(f"{t},{works[t % 2]}\n" for t in range(40))
    (tmp_path / "log.csv").write_text("time,work\n" + rows)
    trace = "trace: {file: log.csv, columns: {time: time, work: work}, window: 10}\n"
    text = GOOD.replace("rate: 12.0, ", "").replace("rate: 8.0, ", "") + trace + sizes
    assert load_fleet(write(tmp_path, text)).sizes == wanted


def trace(labels: Mix | None = None) -> Trace:
    times = np.array([0.0, 1.0, 2.0, 3.0, 10.0])
    return Trace("t", times, np.zeros(5), np.ones(5), mix=labels)


def test_labels_say_where_requests_of_a_window_come_in() -> None:
    mix = Mix(("a", "b"), np.array([0, 1, 1, 1, 0], np.int32), "frontend")
    (found,) = busiest_windows(trace(mix), np.ones(5), ["b", "a"], [1, 1], Window(4.0, 1))
    assert found.rates == (0.75, 0.25)
    shared = busiest_windows(trace(), np.ones(5), ["b", "a"], [3, 1], Window(4.0, 1))
    assert shared[0].rates == (0.75, 0.25)


def test_windows_without_work_are_none_and_a_longer_one_than_the_trace_is_refused() -> None:
    found = busiest_windows(trace(), np.array([1.0, 1, 1, 1, 0]), ["f"], [1], Window(4.0, 9))
    assert [one.start for one in found] == [0.0]
    with pytest.raises(UsageError, match=r"window: 99 s is longer than the trace, 12.5 s"):
        busiest_windows(trace(), np.ones(5), ["f"], [1], Window(99.0, 1))
    with pytest.raises(UsageError, match="no work"):
        busiest_windows(trace(), np.zeros(5), ["f"], [1], Window(4.0, 1))
    mix = Mix(("x",), np.zeros(5, np.int32), "frontend")
    with pytest.raises(UsageError, match="no frontend has the name 'x'; there are f"):
        busiest_windows(trace(mix), np.ones(5), ["f"], [1], Window(4.0, 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("price: 4", "price: -4", "3: types[0] 'h100', price: is -4; give a number of at least 0"),
        ("price: 4, ", "", "3: types[0] 'h100', price: is missing; add it"),
        ("at_most: 8", "at_most: 0.5", "3: types[0] 'h100', at_most: is 0.5; give a whole number"),
        (
            "at_most: 8",
            "at_most: 8, at_least: 9",
            "3: types[0] 'h100', at_most: is 8, below at_least, 9; swap them",
        ),
        (
            "price: 0.5",
            "price: 0",
            "4: types[1] 'l4', at_most: it costs nothing and may be had without end; "
            "give at_most: how many there are",
        ),
        ("name: l4", "name: h100", "4: types[1] 'h100', name: 'h100' is already the name of "),
        ("[l4]", "[l40]", "7: frontends[1] 'us', types[0]: 'l40' matches no machine type; did you"),
        ("rate: 8.0, ", "", "7: frontends[1] 'us', rate: is missing; add it, as rate: 12.0"),
        (
            "{type: hyperbolic, peak: 6.0, half: 5.0}",
            "{type: servers, rate: 6.0}",
            "4: types[1] 'l4', curve: a servers curve is not strictly concave",
        ),
        ("peak: 6.0", "peak: '6.0'", "4: types[1] 'l4', curve.peak: is '6.0'; give a number"),
        ("kind: fleet", "kind: routing", "1: kind: is 'routing'; its machines are there already"),
        ("kind: fleet\n", "", "1: kind: is missing; give kind: fleet"),
        (
            "types: [l4]}",
            "types: [l4], work: {h100: 3}}",
            "7: frontends[1] 'us', work.h100: 'h100'",
        ),
        ("[l4]}", "[l4], work: {}}", "7: frontends[1] 'us', work: lacks type 'l4'; add it"),
        ("[l4]}", "[l4]}\ndemands: []", "8: demands: is []; give at least one of the demands"),
        (
            "[l4]}",
            "[l4]}\ndemands: [{name: d, rates: {eu: 3}}]",
            "6: frontends[0] 'eu', rate: is given beside demands, which have it; remove one",
        ),
    ],
)
def test_a_bad_file_names_place_value_and_remedy(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in GOOD
    assert message(write(tmp_path, GOOD.replace(old, new))).startswith(says)


def test_demands_name_frontends_and_have_some_rate(tmp_path: Path) -> None:
    bare = GOOD.replace("rate: 12.0, ", "").replace("rate: 8.0, ", "")
    wrong = bare + "demands: [{name: d, rates: {uk: 3}}]\n"
    assert "8: demands[0] 'd', rates.uk: 'uk' is no frontend; " in message(write(tmp_path, wrong))
    none = bare + "demands: [{name: d, rates: {eu: 0}}]\n"
    assert "demand 'd': every rate is 0" in message(write(tmp_path, none))
    both = bare + "demands: [{name: d, rates: {eu: 1}}]\ntrace: {file: a, window: 3}\n"
    assert "both of demands and trace are given" in message(write(tmp_path, both))


def test_other_verbs_say_which_one_takes_it(tmp_path: Path) -> None:
    with pytest.raises(SystemFileError, match=r"machines to choose from.* isocline fleet takes"):
        load(write(tmp_path, GOOD))


def test_a_type_that_no_frontend_uses_is_noted(tmp_path: Path) -> None:
    problem = load_fleet(write(tmp_path, GOOD.replace('["*"]', "[l4]")))
    assert fleet_notes(problem) == ["type 'h100': no frontend may use it"]


def test_machine_types_refuse_what_is_no_curve() -> None:
    with pytest.raises(UsageError, match="type 'x': curve is 3; give a curve"):
        MachineType("x", 3, 1.0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not strictly concave"):
        MachineType("x", ServersCurve(1.0, 2), 1.0)
