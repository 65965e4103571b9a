"""`isocline curves` shows each curve, what was cut, and writes its picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.collections import PathCollection

from isocline.cli import main
from isocline.gateway.serve.learned_curves import learned_curves, learned_file, write_learned
from isocline.learn import Known, Learner
from isocline.learn.fit import fit
from isocline.model.curves import KneeCurve
from isocline.report.plots.learned import learned_plot
from tests.builders import fleet

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["curves", *map(str, arguments)], prog_name="isocline")


def test_the_json_has_peak_knee_and_rates_of_each_backend() -> None:
    document = json.loads(run(EXAMPLES / "n_model.yaml", "--json").stdout)
    assert document["unit"] == "jobs/s"
    b2 = document["backends"][1]
    assert (b2["name"], b2["type"], b2["parameters"]) == (
        "b2",
        "hyperbolic",
        {"peak": 1, "half": 2},
    )
    assert (b2["peak"], b2["knee"]) == (1.0, 2.0)
    at_knee = next(at for at in b2["at"] if at["jobs"] == 2.0)
    assert at_knee == {"jobs": 2.0, "rate": 0.5, "marginal_rate": 0.125}


def test_what_was_cut_from_a_table_is_said_on_stderr_and_is_in_the_json() -> None:
    result = run(EXAMPLES / "regions.yaml", "--json")
    assert result.stderr.startswith("note: backend 'asia-large': point [8, 14.1] dropped")
    backends = {b["name"]: b for b in json.loads(result.stdout)["backends"]}
    assert backends["asia-large"]["dropped"] == [[8, 14.1], [32, 22.8]]


def test_the_table_shows_replicas_together_in_the_unit_of_the_file() -> None:
    output = run(EXAMPLES / "mixed_fleet.yaml").stdout
    assert "service curves in tokens/s" in output
    assert "h100-1, h100-2" in output
    assert "rtx4090 (× 4)" in output
    assert "One job is 232.7 tokens on average." in output


@pytest.mark.parametrize("name", ["regions", "mixed_fleet", "n_model"])
def test_the_picture_and_its_data_are_written(tmp_path: Path, name: str) -> None:
    result = run(EXAMPLES / f"{name}.yaml", "--out", tmp_path / "new")
    assert result.exit_code == 0
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"curves.png", "curves.svg", "curves.csv"}
    assert f"wrote {tmp_path / 'new' / 'curves.csv'}" in result.stderr
    data = np.genfromtxt(tmp_path / "new" / "curves.csv", delimiter=",", skip_header=1)
    assert (data[:, 2] >= 0).all()


def test_a_pool_is_shown() -> None:
    result = run(EXAMPLES / "layers.yaml")
    assert result.exit_code == 0
    assert "pool of" in result.stdout


# Learned curves


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seen up to its bend and beyond, far below it, and never."""
    learner = Learner(3)
    for backend, curve, load in ((0, KneeCurve(10.0, 4.0, 3.0), 8.5), (1, FAR, 3.0)):
        rng, n, now = np.random.default_rng(backend), 0, 0.0
        for _ in range(6000):
            rate = float(curve.rate(n))
            now += rng.exponential(1.0 / (load + rate))
            if rng.random() < load / (load + rate):
                learner.arrived(backend, n, now)
                n += 1
            else:
                learner.finished(backend, n, now)
                n -= 1
    learner.observed.fresh[:] = learner.observed.quota
    learner.update(0.0, [0, 0, 0])
    path = tmp_path_factory.mktemp("learned") / "curves.json"
    write_learned(path, learned_curves(learner, ["near", "far", "new"], "fleet"))
    return path


FAR = KneeCurve(1000.0, 500.0, 3.0)


def test_learned_curves_come_with_intervals_and_what_was_seen(learned: Path) -> None:
    document = json.loads(run(learned, "--json").stdout)
    near, far, new = (entry["learned"] for entry in document["backends"])
    assert near["capacity"]["low"] <= 10.0 <= near["capacity"]["high"]
    assert far["capacity"]["high"] is None
    assert far["capacity"]["low"] <= FAR.rate(far["seen"])
    assert (new["seen"], new["capacity"], new["observed"]) == (0, {"low": 0.0, "high": None}, [])
    for facts, curve in ((near, KneeCurve(10.0, 4.0, 3.0)), (far, FAR)):
        for at in facts["at"]:
            assert at["low"] <= curve.rate(at["jobs"]) <= at["high"]
            assert at["extrapolated"] == (at["jobs"] > facts["seen"])
        done = sum(group["completions"] for group in facts["observed"])
        assert done == pytest.approx(facts["completions"])
        assert facts["at"][-1]["extrapolated"]


def test_the_table_of_learned_curves_says_what_was_not_seen(learned: Path) -> None:
    output = run(learned).stdout
    assert "at least" in output
    assert "no bend seen" in output
    assert "extrapolated" in output
    assert "never" in output
    assert "unknown" in output


def test_files_of_before_there_were_intervals_are_read(learned: Path, tmp_path: Path) -> None:
    document = json.loads(learned.read_text())
    for backend in document["backends"]:
        for key in ("seen", "capacity", "intervals"):
            assert backend.pop(key) is not None
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document, indent=1))
    assert run(old, "--json").stdout == run(learned, "--json").stdout


def test_the_picture_of_learned_curves_shows_what_was_seen(learned: Path, tmp_path: Path) -> None:
    found = learned_file(learned)
    assert found is not None
    known = {one.name: one.known for one in found.backends}
    near, _, new = learned_plot(found.as_system(), known).axes[:3]
    counted = [group for group in known["near"].groups if group.completions >= 1]
    counts = [it.get_text() for it in near.texts]  # of as many as there is room for
    assert len(counted) / 2 < len(counts) <= len(counted)
    assert f"{counted[0].completions:.0f}" in counts
    dots = [it for it in near.collections if isinstance(it, PathCollection)]
    at = np.vstack([np.asarray(it.get_offsets()) for it in dots if np.size(it.get_offsets())])
    assert np.allclose(at, [(group.jobs, group.rate) for group in counted])
    solid, dashed = (line for line in near.lines if np.size(line.get_xdata()) > 2)
    assert np.max(solid.get_xdata()) <= known["near"].seen <= np.min(dashed.get_xdata())
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert new.get_title(loc="left") == "new: never seen"
    names = {
        Path(line.split()[-1]).name
        for line in run(learned, "--out", tmp_path).stderr.split("\n")
        if line
    }
    assert names == {"curves.png", "curves.svg", "curves.csv", "observed.csv"}


def test_no_axis_strikes_a_label_through() -> None:
    n = np.arange(31.0)
    seconds = np.where(n > 0, 10.0, 0.0)
    done = np.round(FAR.rate(n) * seconds)
    system = fleet([fit(done, seconds).curve], [1.0])
    figure = learned_plot(system, {system.backends[0].name: Known(done, seconds)})
    (panel,) = figure.axes
    figure.draw_without_rendering()
    bottom, top = panel.get_window_extent().intervaly
    assert len(panel.texts) > 5
    for text in panel.texts:
        label = text.get_window_extent()
        assert bottom < label.y0 < label.y1 < top, f"{text} crosses the axis"


def test_numbers_near_the_ends_of_doubles_are_shown_without_a_warning(tmp_path: Path) -> None:
    text = (EXAMPLES / "n_model.yaml").read_text()
    file = tmp_path / "odd.yaml"
    file.write_text(text.replace("peak: 1.0, half: 1.0", "peak: 1.0e+300, half: 1.0e-300"))
    result = run(file)  # warnings are errors here
    assert result.exit_code == 0, result.exception
    assert "Warning" not in result.stderr
