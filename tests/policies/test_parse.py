import pytest

from isocline.errors import PolicyError
from isocline.policies.contract import RoutingPolicy
from isocline.policies.custom import Custom
from isocline.policies.parse import options, parse
from isocline.policies.routing import ALL
from isocline.policies.routing.gmsr import Gmsr
from isocline.policies.routing.power_of_d import PowerOfD


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
        ("isocline.draws:nothing", "no function nothing"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        parse(text)


def broken(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return candidates["first"]


def test_a_function_that_does_not_compile_shows_why() -> None:
    with pytest.raises(PolicyError, match="does not compile"):
        parse("tests.policies.test_parse:broken")


def last(candidates, view, now, rng):  # type: ignore[no-untyped-def]
    return candidates[candidates.size - 1]


class Whole(RoutingPolicy):
    """A user's policy as a class."""

    name = "whole"

    def table(self, setting, workloads):  # type: ignore[no-untyped-def]
        return Gmsr().table(setting, workloads)


def test_a_users_function_and_class_are_found() -> None:
    assert isinstance(parse("tests.policies.test_parse:last"), Custom)
    assert isinstance(parse("tests.policies.test_parse:Whole"), Whole)
