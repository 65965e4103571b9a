import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import pytest

from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError, UsageError
from isocline.policies.custom import Custom
from isocline.policies.parse import label, options, parse, routing_policy, scheduling_policy
from isocline.policies.routing import ALL
from isocline.policies.routing.contract import CHOOSE, RoutingPolicy
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.picks import least
from isocline.policies.routing.power_of_d import PowerOfD
from isocline.policies.scheduling.local_first import LocalFirst
from isocline.simulate.common.adaptive_runs import chosen_policies


@pytest.mark.parametrize("name", ALL)
def test_every_policy_goes_by_its_name(name: str) -> None:
    assert isinstance(parse(name), ALL[name])
    assert ALL[name].name == name


def test_options_are_typed_by_their_defaults() -> None:
    assert parse("power_of_d:d=3,replacement=true") == PowerOfD(d=3, replacement=True)
    assert parse("gmsr:gradient=difference") == Gmsr(gradient="difference")
    assert dict(options(PowerOfD)) == {
        "d": 2,
        "replacement": False,
        "ties": "random",
        "count": "all",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gmrs", "did you mean gmsr"),
        ("nonsense", "known are"),
        ("local_first", "local_first is a policy for near-data systems; known here are gmsr"),
        ("gmsr:slope=up", "options are gradient=derivative"),
        ("gmsr:gradient", "not an option"),
        ("random:d=2", "options are none"),
        ("power_of_d:d=two", "whole number"),
        ("power_of_d:d=0", "from 1 to 64"),
        ("power_of_d:replacement=yes", "true or false"),
        ("peak_ewma:tau=-1", "tau"),
        ("peak_ewma:tau=soon", "a number"),
        ("no.such.module:f", "cannot import"),
        ("isocline.randomness.draws:nothing", "isocline.randomness.draws has no nothing"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        parse(text)


def by_name(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return candidates["first"]


def no_such_field(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return view.workloads[0]


def forgets_to_return(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    candidates[0]


def half(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return candidates[0] + 0.5


def is_busy(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return view.workload[0] > 0


def has_a_class(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    class Inner:
        pass

    return candidates[0]


def two(candidates, view):  # type: ignore[no-untyped-def]
    return candidates[0]


def yields(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    yield candidates[0]


def starred(*everything):  # type: ignore[no-untyped-def]
    return everything[0][0]


@pytest.mark.parametrize(
    ("function", "offset", "words"),
    [
        (by_name, 1, r"there is no getitem\(array\(int32, 1d, C\), Literal\[str\]\(first\)\)"),
        (no_such_field, 1, "Unknown attribute 'workloads' of type View;"),
        (forgets_to_return, 1, "it returns none, not an edge"),
        (half, 1, "it returns float64, not an edge"),
        (is_busy, 1, "it returns bool(ean)?, not an edge"),
        (has_a_class, 1, "LOAD_BUILD_CLASS"),
        (two, 0, r"found two\(candidates, view\)$"),
        (yields, 0, r"found yields\(candidates, view, now, rng\), a generator"),
        (starred, 0, r"found starred\(\*everything\)"),
    ],
)
def test_a_function_that_is_no_policy_is_refused_in_one_line_with_its_place(
    function: Callable[..., Any], offset: int, words: str
) -> None:
    with pytest.raises(PolicyError, match=words) as refusal:
        parse(f"tests.policies.test_parse:{function.__name__}")
    said = str(refusal.value)
    assert "\n" not in said
    line = function.__code__.co_firstlineno + offset
    assert f"test_parse.py:{line})" in said
    assert "it must be choose(candidates, view, now, rng) -> edge" in said


def last(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return candidates[candidates.size - 1]


@dataclass(frozen=True)
class Whole(RoutingPolicy):
    """A user's policy as a class."""

    name = "whole"
    choose = least
    times: float = 1.0

    def table(self, setting, workloads):  # type: ignore[no-untyped-def]
        return self.times * Gmsr().table(setting, workloads)

    def option(self):  # type: ignore[no-untyped-def]
        return Gmsr().option()


class Partial(RoutingPolicy):
    choose = least


class Plain(Whole):
    choose = last


class Choiceless(RoutingPolicy):
    name = "choiceless"

    def table(self, setting, workloads):  # type: ignore[no-untyped-def]
        return Gmsr().table(setting, workloads)


def test_a_users_function_and_class_are_found() -> None:
    assert isinstance(parse("tests.policies.test_parse:last"), Custom)
    assert parse("tests.policies.test_parse:Whole") == Whole()
    assert parse("tests.policies.test_parse:Whole:times=2") == Whole(times=2.0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Partial", "lacks table"),
        ("Plain", "choose is not compiled"),
        ("Choiceless", "has no choose"),
        ("Whole:slope=2", "options are times=1.0"),
        ("last:times=2", "a function has no options"),
        ("PolicyError", "derives from isocline.RoutingPolicy"),
    ],
)
def test_a_class_that_is_no_policy_is_refused(name: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        parse(f"tests.policies.test_parse:{name}")


def test_a_module_of_the_working_directory_is_found_and_its_errors_have_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_that_raises.py").write_text("\nlimit = 1 / 0\n")
    with pytest.raises(PolicyError, match=r"division by zero \(mine_that_raises.py:2\)"):
        parse("mine_that_raises:f")
    (tmp_path / "mine_that_is_broken.py").write_text("def f(:\n")
    with pytest.raises(PolicyError, match=r"invalid syntax \(mine_that_is_broken.py:1\)"):
        parse("mine_that_is_broken:f")


@numba.njit
def compiled_last(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return candidates[-1]


@numba.cfunc(CHOOSE)
def callback_last(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return candidates[-1]


@pytest.mark.parametrize("function", [last, value_as(CHOOSE)(last), compiled_last, callback_last])
def test_a_function_is_a_policy_compiled_or_not(function: Any) -> None:
    found = routing_policy(function)
    assert isinstance(found, Custom)
    assert label(function) == label(found) == f"tests.policies.test_parse:{function.__name__}"


def test_a_policy_is_what_python_gives() -> None:
    assert routing_policy("power_of_d:d=3") == PowerOfD(d=3)
    assert routing_policy(Whole(times=2.0)) == Whole(times=2.0)
    assert scheduling_policy(LocalFirst()) == scheduling_policy("local_first")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (PowerOfD, r"PowerOfD is a class; give PowerOfD\(\), an instance"),
        (Path, "Path is a class; give a routing policy, or a function"),
        (LocalFirst(), "local_first is a policy for near-data systems; give a routing policy"),
        (3, "policy 3: give a name, a routing policy, or a function"),
        (two, r"it must be choose\(candidates, view, now, rng\)"),
    ],
)
def test_what_is_no_routing_policy_is_refused(given: Any, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        routing_policy(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (LocalFirst, r"LocalFirst is a class; give LocalFirst\(\), an instance"),
        (PowerOfD(), "power_of_d is a policy for routing systems; give a scheduling policy"),
        (last, "give a name, a scheduling policy"),
    ],
)
def test_what_is_no_scheduling_policy_is_refused(given: Any, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        scheduling_policy(given)


@pytest.mark.parametrize(
    "text", ["jsq", "power_of_d", "power_of_d:d=3", "power_of_d:d=3,replacement=true"]
)
def test_a_policy_is_called_what_it_would_be_on_the_command_line(text: str) -> None:
    assert label(parse(text)) == text


def test_one_policy_with_several_options_is_several_policies() -> None:
    _, labels = chosen_policies([PowerOfD(), PowerOfD(d=3)], routing_policy)
    assert labels == ["power_of_d", "power_of_d:d=3"]
    both: list[str | RoutingPolicy] = ["power_of_d", PowerOfD()]
    with pytest.raises(UsageError, match="each once"):
        chosen_policies(both, routing_policy)
    with pytest.raises(UsageError, match=r"policies 'jsq': give a list, as \['jsq'\]"):
        chosen_policies("jsq", routing_policy)
