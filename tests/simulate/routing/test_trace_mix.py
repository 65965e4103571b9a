"""A trace that says where its requests come in keeps its mix; one without sizes draws them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isocline.errors import SystemFileError, UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import RoutingSystem, Work
from isocline.model.replay import with_trace
from isocline.model.systemfile import load
from isocline.model.traffic import LognormalSizes, read_trace
from isocline.simulate.routing import arrival_list
from isocline.simulate.routing.compare import simulate
from isocline.simulate.routing.scenario import scenario
from tests.builders import fleet
from tests.simulate.routing.options import RunLength

WHO = ["f1", "f0", "f1", "f1", "f1", "f0", "f1", "f1"]


def table(labels: list[str], column: str = "frontend") -> dict[str, np.ndarray]:
    times = np.arange(len(labels), dtype=float)
    return {"t": times, "w": 1.0 + times, column: np.array(labels)}


def world() -> RoutingSystem:
    return fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [12.0, 8.0, 3.0])


def test_each_request_comes_in_where_the_trace_says() -> None:
    columns = {"time": "t", "work": "w", "frontend": "frontend"}
    trace = read_trace(table(WHO), columns=columns)
    scene = scenario(world(), trace)
    assert scene.system.rates.tolist() == [0.25, 0.75, 0.0]  # of eight requests in eight seconds
    jobs = arrival_list.replayed(scene.system, trace, seed=1, replication=0, until=100.0)
    assert jobs.frontend.tolist() == [int(who[1]) for who in WHO]
    assert jobs.size.tolist() == ((1.0 + np.arange(8)) / 4.5).tolist()
    assert scene.source == "trace data frame, each request at the frontend it names"


def test_models_name_frontends_by_name_or_by_the_pattern_they_match() -> None:
    system = world()
    frontends = [
        replace(f, model=m) for f, m in zip(system.frontends, ["gpt-4*", None, "g*"], strict=True)
    ]
    system = replace(system, frontends=tuple(frontends))
    columns = {"time": "t", "model": "model"}
    trace = read_trace(table(["gpt-4o", "f1", "gemma", "gpt-4"], "model"), columns=columns)
    jobs = arrival_list.replayed(with_trace(system, trace), trace, 1, 0, 9.0)
    assert jobs.frontend.tolist() == [0, 1, 2, 0]


def test_labels_that_no_frontend_has_are_named() -> None:
    columns = {"time": "t", "frontend": "frontend"}
    trace = read_trace(table(["f0", "f9"]), columns=columns)
    with pytest.raises(UsageError, match=r"no frontend has the name 'f9'; there are f0, f1, f2"):
        scenario(world(), trace)


BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + "".join(
    f"{i},{model},10,5,15,API log\n" for i, model in enumerate(["ChatGPT", "GPT-4", "ChatGPT"])
)


def test_models_of_a_public_trace_count_only_where_they_are_frontends(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(BURSTGPT)
    trace = read_trace(tmp_path / "b.csv")
    shared = scenario(world(), trace)
    assert shared.system.rates == pytest.approx(np.array([12.0, 8.0, 3.0]) / 23.0)
    system = world()
    names = ["GPT-4", "other", "ChatGPT"]
    named = [replace(f, name=name) for f, name in zip(system.frontends, names, strict=True)]
    own = scenario(replace(system, frontends=tuple(named)), trace)
    assert own.system.rates == pytest.approx([1 / 3, 0, 2 / 3])
    assert "each request at the frontend of its model" in own.source
    half = [
        replace(f, name=name) for f, name in zip(system.frontends, ["GPT-4", "a", "b"], strict=True)
    ]
    with pytest.raises(UsageError, match="no frontend has the name or"):
        scenario(replace(system, frontends=tuple(half)), trace)


def test_times_alone_come_with_the_sizes_of_the_system() -> None:
    times = np.cumsum(np.random.default_rng(1).exponential(0.1, 20_000))
    trace = read_trace({"t": times}, columns={"time": "t"})
    system = replace(world(), sizes=LognormalSizes(2.0), work=Work("tokens", mean=7.0))
    changed = with_trace(system, trace)
    assert changed.work.mean == 7.0
    jobs = arrival_list.replayed(changed, trace, 1, 0, np.inf)
    # Mean 1 and deviation 2 of 20 000: four standard errors.
    assert jobs.size.mean() == pytest.approx(1.0, abs=4 * 2.0 / 20_000**0.5)
    assert jobs.size.std() > 1.2


FILE = """\
kind: routing
trace: {{file: log.csv, columns: {{{columns}}}, time_unit: ms}}
work: {{unit: tokens, mean: 1, prefill: 1.0, decode: 2.0}}
backends:
  - {{name: a, curve: {{type: hyperbolic, peak: 4000, half: 8}}}}
frontends:
  - {{name: chat, {chat}backends: [a]}}
  - {{name: code, backends: [a]}}
"""
LOG = "who,ts,in,out,more\n" + "".join(
    f"{'chat' if i % 4 else 'code'},{100 * i},30,10,x\n" for i in range(800)
)


def in_file(folder: Path, columns: str, chat: str = "") -> Path:
    (folder / "log.csv").write_text(LOG)
    (folder / "system.yaml").write_text(FILE.format(columns=columns, chat=chat))
    return folder / "system.yaml"


def test_a_file_names_its_trace_and_needs_no_rates(tmp_path: Path) -> None:
    columns = "time: ts, prompt: in, output: out, frontend: who"
    system = load(in_file(tmp_path, columns))
    assert isinstance(system, RoutingSystem)
    assert system.rates == pytest.approx([7.5, 2.5])
    assert system.work.mean == 50.0
    assert system.trace is not None
    found = simulate(system, ["jsq"], replications=2)
    assert found.policies[0].completed == 2 * 800
    assert found.source.startswith("trace log.csv")
    fast = simulate(system, ["jsq"], replications=2, load=0.5)
    assert fast.load == pytest.approx(0.5)
    assert fast.horizon < found.horizon


def test_frontends_without_rates_or_labels_share_a_trace_alike(tmp_path: Path) -> None:
    system = load(in_file(tmp_path, "time: ts, prompt: in, output: out"))
    assert isinstance(system, RoutingSystem)
    assert system.rates == pytest.approx([5.0, 5.0])
    with pytest.raises(SystemFileError, match=r"frontends\[1\] 'code': neither of rate and arr"):
        load(in_file(tmp_path, "time: ts, prompt: in, output: out", chat="rate: 3, "))


def test_a_mistake_in_a_files_trace_names_its_line(tmp_path: Path) -> None:
    path = in_file(tmp_path, "time: ts, prompt: inn")
    with pytest.raises(SystemFileError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:2: trace: {tmp_path / 'log.csv'}:1: has no column")
    with pytest.raises(SystemFileError, match=r"columns.times: is an unknown key; did you mean"):
        load(in_file(tmp_path, "times: ts"))


def test_an_unknown_format_in_a_file_is_answered_with_all_known_ones(tmp_path: Path) -> None:
    path = in_file(tmp_path, "time: ts")
    text = path.read_text().replace("columns: {time: ts}, time_unit: ms", "format: csv")
    path.write_text(text)
    with pytest.raises(SystemFileError, match=r":2: trace: .*unknown trace format 'csv'.*swim"):
        load(path)


def test_a_frontend_at_rate_0_changes_nothing_for_the_others() -> None:
    with_silent = fleet(
        [HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [12.0, 0.0], [[0, 1], [1]]
    )
    alone = fleet([HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)], [12.0], [[0, 1]])
    names = ["gmsr", "static_optimal"]
    for percentiles in (True, False):
        run: RunLength = {"horizon": 2000.0, "replications": 2, "percentiles": percentiles}
        found = simulate(with_silent, names, **run)
        other = simulate(alone, names, **run)
        assert found.lower_bound == other.lower_bound
        for one, two in zip(found.policies, other.policies, strict=True):
            assert one.mean_jobs is not None
            assert two.mean_jobs is not None
            assert one.mean_jobs.value == pytest.approx(two.mean_jobs.value, rel=0.05)


def test_rates_that_are_all_0_are_refused() -> None:
    with pytest.raises(UsageError, match="every arrival rate is 0"):
        fleet([HyperbolicCurve(1.0, 1.0)], [0.0, 0.0])
