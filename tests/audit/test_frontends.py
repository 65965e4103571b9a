"""Which origins are one frontend, and which backends it may use."""

from pathlib import Path

import numpy as np
import pytest

from isocline.audit.frontends import (
    frontends_by_edges,
    frontends_by_system,
    frontends_of_log,
)
from isocline.audit.reading import read_log
from isocline.audit.records import AccessRecords
from isocline.errors import UsageError
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, RoutingSystem
from tests.builders import fleet


def records(tmp_path: Path, used: dict[str, list[str]]) -> AccessRecords:
    """A log in which each origin's requests went to these backends, in turn."""
    rows = [
        f"{0.01 * i:.2f},0.05,{backend},{origin}\n"
        for origin, backends in used.items()
        for i, backend in enumerate(backends)
    ]
    path = tmp_path / "log.csv"
    path.write_text("start,duration,upstream,frontend\n" + "".join(rows))
    return read_log([path]).records


MANY = {"chat": ["a", "b", "c"] * 50, "code": ["c", "d"] * 40}


def test_origins_that_use_the_same_backends_are_one_frontend(tmp_path: Path) -> None:
    found = frontends_of_log(records(tmp_path, MANY | {"talk": ["b", "c", "a"] * 9, "new": ["a"]}))
    assert found.names == ("chat", "code")
    assert found.origins[0] == ("chat", "talk", "new")  # with one request, by chance at one backend
    assert [found.graph.neighbours(f).tolist() for f in (0, 1)] == [[0, 1, 2], [2, 3]]
    assert np.bincount(found.of).tolist() == [178, 80]


def test_many_requests_that_used_few_backends_could_not_use_the_others(tmp_path: Path) -> None:
    found = frontends_of_log(records(tmp_path, {"all": ["a", "b"] * 50, "some": ["a"] * 30}))
    assert found.names == ("all", "some")
    assert found.graph.neighbours(1).tolist() == [0]


def test_one_frontend_of_several_origins_has_a_name_of_its_own(tmp_path: Path) -> None:
    found = frontends_of_log(records(tmp_path, {"x": ["a", "b"] * 5, "y": ["a", "b"] * 5}))
    assert found.names == ("all",)


def test_edges_are_patterns(tmp_path: Path) -> None:
    log = records(tmp_path, MANY)
    found = frontends_by_edges(log, ["cha*=?", "*=c,d"])
    assert found.names == ("chat", "code")
    assert [found.graph.neighbours(f).tolist() for f in (0, 1)] == [[0, 1, 2, 3], [2, 3]]


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        (["chat"], "give ORIGIN=BACKEND"),
        (["chat=", "*=*"], "give ORIGIN=BACKEND"),
        (["talk=a"], r"no request came in at 'talk' .*; there are 'chat', 'code'"),
        (["chat=z", "*=*"], r"'z' matches no backend; there are 'a', 'b', 'c', 'd'"),
        (["chat=*"], r"requests came in at 'code', too; add"),
        (["chat=a,b", "*=*"], r"requests of 'chat' went to 'c', which it may not use"),
    ],
)
def test_edges_that_do_not_fit_the_log_are_refused(
    tmp_path: Path, edges: list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        frontends_by_edges(records(tmp_path, MANY), edges)


def system(names: list[str], neighbours: list[list[int]], **urls: str) -> RoutingSystem:
    curve = HyperbolicCurve(10.0, 2.0)
    made = fleet([curve] * len(names), [1.0] * len(neighbours), neighbours)
    backends = tuple(Backend(name, curve, url=urls.get(name)) for name in names)
    return RoutingSystem(made.frontends, backends, made.graph)


def test_a_system_file_says_who_may_use_whom_by_names_urls_and_paths(tmp_path: Path) -> None:
    log = records(tmp_path, {"f0": ["10.0.0.1:80", "b"] * 9, "h/api": ["b"] * 9})
    given = system(["one", "b", "idle"], [[0, 1, 2], [1, 2]], one="http://10.0.0.1:80")
    found = frontends_by_system(log, given, {"f0": "/", "f1": "/api"})
    assert found.names == ("f0", "f1")
    assert [found.graph.neighbours(f).tolist() for f in (0, 1)] == [[0, 1], [1]]


def test_a_system_file_that_does_not_fit_the_log_is_refused(tmp_path: Path) -> None:
    log = records(tmp_path, {"x": ["a", "b"] * 9})
    with pytest.raises(UsageError, match=r"has no backend with the name or url 'b'"):
        frontends_by_system(log, system(["a"], [[0]]), {})
    with pytest.raises(UsageError, match=r"requests came in at 'x', which is neither"):
        frontends_by_system(log, system(["a", "b"], [[0, 1], [0]]), {})
    one = frontends_by_system(log, system(["a", "b"], [[0, 1]]), {})
    assert one.names == ("f0",)
