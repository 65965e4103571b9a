"""What `isocline plan` says and draws of a cluster."""

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import StepPatch
from rich.console import Console

from isocline.model.cluster import Cluster, ExplicitTasks, HotSpot, Rates, SampledTasks
from isocline.model.graph import CompatibilityGraph
from isocline.report.near_data_groups import groups, helps_between, servers_in_words
from isocline.report.plots.near_data import near_data_picture
from isocline.report.tables.near_data import near_data_report
from isocline.theory.scheduling.near_data_plan import near_data_plan

PAPER = Cluster.numbered(1000, Rates(1.0, 0.5), SampledTasks(3, 700.0, HotSpot(0.5, 0.8)))


def small() -> Cluster:
    graph = CompatibilityGraph.from_neighbours(4, [(0, 1), (2,), (3,)])
    tasks = ExplicitTasks(graph, np.array([2.5, 0.2, 0.4]))
    cluster = Cluster.numbered(4, Rates(1.0, 0.4), tasks)
    return replace(cluster, servers=("ann", "bob", "cy", "[dan]"))


def said(cluster: Cluster) -> str:
    console = Console(width=120, record=True, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(near_data_report(near_data_plan(cluster)))
    return re.sub(r"\s+", " ", capture.get())


def test_the_hot_spot_in_words() -> None:
    words = said(PAPER)
    assert "cluster: stable 700.0 tasks/s on 1,000 servers" in words
    assert "the arrivals may grow up to 1.190 times; then 0–499 would need more help" in words
    assert "500–999 serve 60.00 tasks/s for 0–499, remotely" in words
    assert "copy 37.5% of the data on 0–499 to 500–999, too: the arrivals may grow 1.429" in words
    assert "(Theorem 3)" in words
    assert "Certificate: conservation residual" in words


def test_names_of_servers_are_not_markup() -> None:
    assert "[dan]" in said(small())


def test_too_much_load_in_words() -> None:
    words = said(PAPER.at_rate(1000.0))
    assert "unstable" in words
    assert "All arrivals times 0.8333 would be the limit" in words
    assert "need 300.0 tasks/s of remote service, the others can give 150.0" in words


def test_an_even_load_in_words_with_its_pools() -> None:
    words = said(Cluster.numbered(8, Rates(1.0, 0.5), SampledTasks(1, 4.0)))
    assert "nobody needs remote service" in words
    assert "8 pools that no type of task connects" in words
    assert "Who helps whom" not in words


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([0, 1, 2, 5], "0–2, 5"),
        ([3], "3"),
        ([*range(0, 20, 2)], "0, 2, 4, 6, 8, 10 and 4 more"),
        (["a1", "a2"], "a1, a2"),
    ],
)
def test_servers_in_words(names: list[int | str], words: str) -> None:
    assert servers_in_words(names) == words


def test_groups_keep_every_server_and_all_help() -> None:
    plan = near_data_plan(small())
    made = groups(plan)
    assert sorted(name for group in made for name in group.servers) == sorted(plan.cluster.servers)
    assert sum(entry.rate for entry in helps_between(plan, made)) == pytest.approx(0.5)
    assert made[0].role == "beneficiary"
    assert made[0].utilisation == pytest.approx(1.25)


@pytest.mark.parametrize("cluster", [PAPER, small(), small().sped_up(0.1)])
def test_the_picture_shows_loads_and_the_local_rate(cluster: Cluster) -> None:
    plan = near_data_plan(cluster)
    figure = near_data_picture(plan)
    loads = figure.axes[0]
    assert len(figure.axes) == (2 if plan.helps else 1)
    assert loads.get_xlim()[1] == cluster.size
    steps = [patch for patch in loads.patches if isinstance(patch, StepPatch)]
    drawn = sum(np.sum(patch.get_data()[0]) for patch in steps)
    assert drawn == pytest.approx(cluster.arrival_rate)
    level = loads.lines[0].get_ydata()
    assert np.asarray(level).tolist() == [cluster.rates.local] * 2
