"""The check of arguments: kinds by annotations, ranges by decorators."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest

from isocline.arguments import POSITIVE, at_least, checked, in_one_line
from isocline.errors import UsageError


class Thing:
    """Any class."""


@checked(count=at_least(1), shares=POSITIVE, length=POSITIVE)
def function(
    thing: Thing | None = None,
    *,
    count: int = 1,
    length: float | None = None,
    shares: Sequence[float] = (),
    pairs: Sequence[tuple[float, Thing]] = (),
    word: Literal["ps", "fcfs"] = "ps",
    flag: bool = False,
    text: str | None = None,
    told: Callable[[], None] = print,
    table: Mapping[str, float] | None = None,
    whatever: Any = None,
    **more: Any,
) -> int:
    return count


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"thing": 3}, r"thing 3: give a Thing"),
        ({"thing": Thing}, r"thing <class .*Thing'>: give a Thing"),
        ({"count": 0}, r"count 0: give a whole number, 1 or more"),
        ({"count": 1.0}, r"count 1.0: give a whole number, 1 or more"),
        ({"count": True}, r"count True: give a whole number, 1 or more"),
        ({"count": None}, r"count None: give"),
        ({"count": "3"}, r"count '3': give"),
        ({"length": math.nan}, r"length nan: give a finite number above 0"),
        ({"length": math.inf}, r"length inf: give"),
        ({"length": np.float64(-1.0)}, r"length -1.0: give"),
        ({"length": False}, r"length False: give"),
        ({"length": [1.0]}, r"length \[1.0\]: give"),
        ({"shares": 0.5}, r"shares 0.5: give a list, each entry a number"),
        ({"shares": "0.5"}, r"shares '0.5': give a list"),
        ({"shares": [0.5, 0.0]}, r"shares\[1\] 0.0: give a finite number above 0"),
        ({"shares": [0.5, "1"]}, r"shares\[1\] '1': give a finite number above 0"),
        ({"pairs": [(1.0, Thing()), (2.0, "b.yaml")]}, r"pairs\[1\]\[1\] 'b.yaml': give a Thing"),
        ({"pairs": [1.0]}, r"pairs\[0\] 1.0: give a tuple of a number and a Thing"),
        ({"pairs": [(1.0,)]}, r"pairs\[0\] \(1.0,\): give a tuple of"),
        ({"word": "lifo"}, r"word 'lifo': give one of ps, fcfs"),
        ({"flag": 1}, r"flag 1: give True or False"),
        ({"text": b"a"}, r"text b'a': give a string"),
        ({"told": 3}, r"told 3: give a function"),
        ({"table": [1]}, r"table \[1\]: give a mapping"),
    ],
)
def test_what_does_not_fit_is_named(given: Any, words: str) -> None:
    with pytest.raises(UsageError, match=f"^{words}") as refusal:
        function(**given)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "given",
    [
        {"count": np.int32(3)},
        {"length": 3},
        {"length": np.float32(3.0)},
        {"shares": np.array([0.5, 0.7])},
        {"shares": range(1, 3)},
        {"pairs": [[1, Thing()]]},
        {"flag": np.True_},
        {"whatever": object(), "more": -1},
        {"length": None, "text": None, "table": {}},
    ],
)
def test_what_fits_is_taken(given: Any) -> None:
    assert function(**given) >= 1


def test_an_unknown_name_is_a_type_error_with_the_one_that_was_meant() -> None:
    @checked()
    def strict(*, warmup: float = 0.0) -> float:
        return warmup

    with pytest.raises(TypeError, match=r"strict\(\): .* 'warm_up'; did you mean 'warmup'\?"):
        strict(warm_up=3.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"strict\(\): .*'depth'$"):
        strict(depth=3.0)  # type: ignore[call-arg]


def test_a_value_takes_one_short_line() -> None:
    assert in_one_line(np.float64(0.5)) == "0.5"
    said = in_one_line(["a\nb" * 100] * 100)
    assert len(said) < 300
    assert "\n" not in said
