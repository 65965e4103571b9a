"""`isocline curves` shows each curve, what was cut, and writes its picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
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


# Measured curves


def results(directory: Path, *names: str) -> Path:
    """A table of two workloads short of a peak, and one past it, for each backend."""
    path = directory / "results.csv"
    rows = ["name,concurrency,rate"]
    for i, name in enumerate(names or ("h100",)):
        rows += [f"{name},{n},{(i + 1) * rate}" for n, rate in ((1, 2), (2, 3.6), (4, 6), (8, 4))]
    path.write_text("\n".join(rows))
    return path


def entries(printed: str) -> list[dict[str, Any]]:
    """The entries at the end of what was printed, as a system file has them."""
    found = yaml.safe_load(printed[printed.index("- name:") :])
    assert isinstance(found, list)
    return found


def test_a_measured_curve_is_printed_with_its_entry(tmp_path: Path) -> None:
    result = run("--from", results(tmp_path))
    assert result.exit_code == 0
    assert "h100: service curve in jobs/s" in result.stdout
    assert "Cut: N = 8, past the peak of 6 jobs/s at N = 4: 33 % lower." in result.stdout
    assert "1 of 1 within 10 %" in result.stdout
    assert "an error of 2 % is assumed" in result.stdout
    (entry,) = entries(result.stdout)
    system = tmp_path / "system.yaml"
    frontends = [{"name": "all", "rate": 1.0, "backends": [entry["name"]]}]
    document = {"kind": "routing", "backends": [entry], "frontends": frontends}
    system.write_text(yaml.safe_dump(document))
    shown = run(system, "--json")
    assert "dropped" not in shown.stderr
    (backend,) = json.loads(shown.stdout)["backends"]
    assert backend["peak"] == pytest.approx(6.0, rel=0.03)


def test_an_unreadable_file_of_a_directory_is_named_and_makes_the_exit_status_2(
    tmp_path: Path,
) -> None:
    path = results(tmp_path)
    expected = entries(run("--from", path).stdout)
    (tmp_path / "broken.csv").write_text("concurrency,rate\n1,fast\n")
    result = run("--from", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"isocline: {tmp_path / 'broken.csv'}, line 2: rate is 'fast'")
    assert entries(result.stdout) == expected


def test_what_is_no_result_is_named_and_left_out(tmp_path: Path) -> None:
    path = results(tmp_path)
    expected = entries(run("--from", path).stdout)
    for name in "abcde":
        (tmp_path / f"{name}.json").write_text('{"pods": 3}')
    result = run("--from", tmp_path)
    assert result.exit_code == 0
    assert entries(result.stdout) == expected
    first, *_, last = (line for line in result.stderr.splitlines() if "left out" in line)
    assert first.startswith(f"note: left out: {tmp_path / 'a.json'}: is JSON of no known format")
    assert last == "note: left out, too: 2 more"


def test_a_table_of_markdown_with_unknown_columns_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    rows = ("| concurrency | rate |", "|--|--|", "| 1 | 2.0 |", "| 4 | 5.0 |", "| 8 | 6.0 |")
    others = ("", "| pods | TTFT |", "|--|--|", "| 1 | 2.0 |")
    path.write_text("\n".join((*rows, *others)))
    result = run("--from", path)
    assert result.exit_code == 0
    assert f"note: left out: {path}, line 7: has the columns pods, TTFT" in result.stderr


def test_errors_of_counts_alone_are_said(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    runs = [
        {"max_concurrency": n, "completed": 400, "request_throughput": 2.0 * n**0.5, "duration": 9}
        for n in (1, 4)
    ]
    path.write_text(json.dumps(runs))
    printed = run("--from", path).stdout
    assert "± 5.0% (count)" in printed
    assert "The error of 2 points is that of a Poisson count" in printed
    path.write_text(
        json.dumps([one | {"std_e2el_ms": 1.0, "mean_e2el_ms": 1000.0} for one in runs])
    )
    assert "(count)" not in run("--from", path).stdout


def test_the_json_of_a_measured_curve_has_points_cuts_and_predictions(tmp_path: Path) -> None:
    document = json.loads(run("--from", results(tmp_path), "--json").stdout)
    assert document["kind"] == "measured-curves"
    (curve,) = document["curves"]
    assert [point["workload"] for point in curve["points"]] == [1, 2, 4, 8]
    assert [point["cut"] is None for point in curve["points"]] == [True, True, True, False]
    assert curve["held_out"]["points"] == curve["held_out"]["within_10_percent"] == 1
    assert curve["points"][1]["predicted"] == pytest.approx(3.6, rel=0.1)
    assert all(p["low"] <= p["curve"] <= p["high"] for p in curve["points"])


def test_several_measured_curves_are_named_and_chosen(tmp_path: Path) -> None:
    path = results(tmp_path, "h100", "l4: small")
    both = run("--from", path, "--out", tmp_path / "out")
    assert both.stderr.startswith(
        "note: 2 curves: 'h100' (4 runs), 'l4: small' (4 runs); --curve NAME shows one\n"
    )
    assert [entry["name"] for entry in entries(both.stdout)] == ["h100", "l4: small"]
    folders = {path.name for path in (tmp_path / "out").iterdir()}
    assert folders == {"h100", "l4-small"}
    one = run("--from", path, "--curve", "l4: small")
    assert [entry["name"] for entry in entries(one.stdout)] == ["l4: small"]
    none = run("--from", path, "--curve", "a100")
    assert none.exit_code == 2
    assert "--curve a100: there is none of this name; 'h100' (4 runs)" in none.stderr


def test_measured_curves_are_written(tmp_path: Path) -> None:
    result = run("--from", results(tmp_path), "--out", tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"measured.png", "measured.svg", "measured.csv", "curve.csv", "curve.yaml"}
    assert entries(result.stdout) == yaml.safe_load((tmp_path / "out" / "curve.yaml").read_text())
    again = run("--from", tmp_path / "out" / "measured.csv")
    assert entries(again.stdout) == entries(result.stdout)


def test_what_was_written_in_tokens_is_read_in_tokens(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("concurrency,tokens_per_second\n1,400\n2,720\n4,1200\n")
    run("--from", path, "--out", tmp_path / "out")
    again = run("--from", tmp_path / "out" / "measured.csv")
    assert "results: service curve in tokens/s" in again.stdout


def test_rates_in_tokens_say_what_work_the_system_needs(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("concurrency,rate,tokens_per_second\n1,2,400\n2,3.6,720\n4,6,1200\n")
    printed = run("--from", path, "--unit", "tokens").stdout
    assert "# rates in tokens/s: the system file needs work: {unit: tokens, mean: 200}" in printed


def test_several_files_without_from_are_refused(tmp_path: Path) -> None:
    result = run(EXAMPLES / "n_model.yaml", EXAMPLES / "regions.yaml")
    assert result.exit_code == 2
    assert "2 files: give one system file, or --from" in result.stderr
    wrong = run(results(tmp_path))
    assert wrong.exit_code == 2
