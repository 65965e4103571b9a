"""Results and systems at a prompt and in a notebook."""

import base64
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isocline

EXAMPLES = Path(__file__).parents[1] / "examples"
FLEET = isocline.load(EXAMPLES / "mixed_fleet.yaml", kind="routing")
CLUSTER = isocline.load(EXAMPLES / "small_cluster.yaml", kind="near-data")
LARGE = isocline.RoutingSystem(
    frontends=(isocline.Frontend("f", isocline.PoissonArrivals(1.0)),),
    backends=tuple(
        isocline.Backend(f"b{i}", isocline.HyperbolicCurve(1.0, 2.0)) for i in range(5000)
    ),
    graph=isocline.CompatibilityGraph.from_neighbours(5000, [range(5000)]),
    name="a line\nbreak and " + "a name as long as a page " * 100,
)
TRACE = isocline.Trace("t", np.arange(9e4), np.ones(90_000), np.ones(90_000))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: FLEET, id="fleet"),
        pytest.param(lambda: CLUSTER, id="cluster"),
        pytest.param(lambda: LARGE, id="5 000 backends"),
        pytest.param(lambda: LARGE.graph, id="graph"),
        pytest.param(lambda: TRACE, id="trace"),
        pytest.param(lambda: isocline.plan(FLEET), id="plan"),
        pytest.param(lambda: isocline.plan(CLUSTER), id="near-data plan"),
        pytest.param(lambda: isocline.fluid(FLEET, horizon=1.0), id="fluid"),
    ],
)
def test_a_representation_names_every_field_and_fits_a_screen(made: Callable[[], Any]) -> None:
    value = made()
    lines = repr(value).splitlines()
    assert lines[0] == f"{type(value).__name__}("
    assert [line.partition("=")[0].strip() for line in lines[1:-1]] == [
        field.name for field in fields(value)
    ]
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100


def test_a_notebook_shows_the_table_and_the_picture() -> None:
    shown = isocline.plan(FLEET)._repr_html_()
    for backend in FLEET.backends:
        assert f">{backend.name}</td>" in shown
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', shown)
    assert picture
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")
