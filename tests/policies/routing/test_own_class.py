"""Routing policies that are classes of a user's own, and give something else than they should."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import isocline
from isocline.compilation.compiled import value_as
from isocline.errors import PolicyError
from isocline.gateway.core.policy_runtime import PolicyRuntime
from isocline.policies.parse import parse, routing_policy
from isocline.policies.routing.contract import CHOOSE, RoutingPolicy
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.picks import least
from isocline.randomness.draws import stream
from isocline.simulate.routing.prepare import prepare
from tests.builders import mixed


@dataclass(frozen=True)
class Shaped(RoutingPolicy):
    """Gmsr with one thing wrong."""

    name = "shaped"
    choose = least
    what: str = ""

    def table(self, setting, workloads):  # type: ignore[no-untyped-def]
        known = Gmsr().table(setting, workloads)
        wrong = {
            "row": known[0],
            "rows": known[:1],
            "columns": known[:, :-1],
            "text": known.astype(str),
            "none": None,
            "nan": np.vstack(
                (known[0], np.where(np.arange(known.shape[1]) == 3, np.nan, known[1]))
            ),
        }
        if self.what == "raises":
            return known[99]
        return wrong.get(self.what, known)

    def parameter(self, setting):  # type: ignore[no-untyped-def]
        return np.zeros(2 if self.what == "parameter" else (setting.graph.edges, 0))

    def memory(self, setting):  # type: ignore[no-untyped-def]
        return np.zeros((1 if self.what == "memory" else setting.graph.edges, 2))

    def option(self):  # type: ignore[no-untyped-def]
        return np.zeros((1, 1)) if self.what == "option" else Gmsr().option()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (
            "row",
            r"table has shape \(64,\); it must give an array of float64, one row for each of 2",
        ),
        ("rows", r"table has shape \(1, 64\); it must give .* one column for each of 64 workloads"),
        ("columns", r"table has shape \(2, 63\); it must give"),
        ("text", r"table gives str\d+; it must give an array of float64"),
        ("none", r"table gives object; it must give"),
        ("nan", r"table: entry \[1, 3\] is nan"),
        ("raises", r"table: IndexError: .* \(.*test_own_class.py:\d+\)"),
        ("parameter", r"parameter has shape \(2,\); it must give .* one row for each of 3 edges"),
        ("memory", r"memory has shape \(1, 2\); it must give .* one row for each of 3 edges"),
        ("option", r"option has shape \(1, 1\); it must give .* of one dimension"),
    ],
)
def test_an_array_of_another_shape_is_refused(what: str, words: str) -> None:
    with pytest.raises(PolicyError, match=f"^policy shaped: {words}") as refusal:
        isocline.simulate(mixed(), [Shaped(what)], horizon=50.0, warmup=5.0, replications=2)
    assert "\n" not in str(refusal.value)
    with pytest.raises(PolicyError, match=f"^policy shaped: {words}"):
        PolicyRuntime(prepare(mixed()).setting, Shaped(what))


@value_as(CHOOSE)
def three(candidates, view, now):  # type: ignore[no-untyped-def]
    return candidates[0]


@value_as(CHOOSE)
def a_pair(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return candidates[0], candidates[0]


@value_as(CHOOSE)
def fails(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    raise ValueError("no price")


class Three(Shaped):
    """Too few parameters."""

    choose = three  # type: ignore[assignment]


class Pair(Shaped):
    """Does not return an edge."""

    choose = a_pair


class Fails(Shaped):
    """Raises."""

    choose = fails


class Nameless(RoutingPolicy):
    """Says nothing of what results call it."""

    choose = least

    def table(self, setting: Any, workloads: Any) -> Any:
        return Gmsr().table(setting, workloads)


def test_a_class_without_a_name_is_refused_in_words() -> None:
    words = r'^policy class Nameless has no name; give it one, as in name = "mine"$'
    with pytest.raises(PolicyError, match=words):
        routing_policy(Nameless())
    with pytest.raises(PolicyError, match=words):
        parse(f"{__name__}:Nameless")


def test_a_function_with_other_parameters_is_refused_at_once() -> None:
    words = r"policy shaped \(.*:\d+\): it must be choose\(candidates, view, now, rng\) -> edge; fo"
    with pytest.raises(PolicyError, match=words):
        routing_policy(Three())


def test_a_function_that_does_not_compile_is_named_with_its_place() -> None:
    with pytest.raises(PolicyError, match=r"policy shaped \(.*test_own_class.py:\d+\): numba can"):
        isocline.simulate(
            mixed(), [Pair()], horizon=50.0, warmup=5.0, replications=2, percentiles=False
        )


def test_what_a_class_raises_in_the_router_names_the_policy() -> None:
    scores = PolicyRuntime(prepare(mixed()).setting, Fails())
    candidates: Any = np.array([0, 1], np.int32)
    with pytest.raises(
        PolicyError, match=r"policy shaped raised ValueError: no price \(.*class.py"
    ):
        scores.choose(candidates, scores.view, 0.0, stream(0))


@pytest.mark.parametrize("text", ["jsq:", "jsq: ", "jsq:ties=random,", "power_of_d:,d=2", "jsq:,"])
def test_an_option_that_is_left_out_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match=r"an option is missing after .*leave out"):
        routing_policy(text)
