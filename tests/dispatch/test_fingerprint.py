"""Fingerprints: the same for what does the same, in another process too."""

import ast
import datetime
import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest

from isocline.dispatch.fingerprint import fingerprint

PROGRAM = """
import types
import cloudpickle
from isocline.dispatch.fingerprint import fingerprint
by_cloudpickle = cloudpickle.Pickler.dispatch_table[types.CodeType]
def another_release(code):
    return by_cloudpickle(code.replace(co_filename={file!r}))
cloudpickle.Pickler.dispatch_table[types.CodeType] = another_release
{lines}
limit = {limit}
class Base:
    @staticmethod
    def bound():
        return {bound}
class Count(Base):
    def __init__(self, words):
        self.words, self.me = words, self
    def __call__(self, skip):
        return [len(w) for w in self.words if w != skip][:self.bound()]
def count(words, least=3, *, skip={{"a", "b", "c", "d"}}):
    return [w for w in words if len(w) > least and w not in {{"the", "and", "of"}}][:limit_of()]
def limit_of():
    return limit
def counted(words):
    return Count(words)(skip="a")
def nested(bound):
    def inner(x):
        return inner(x - 1) if x > bound else count([x])
    return inner
values = {{"x": 1, "y": frozenset("abcdef")}}, "a" * 3
parts = [(count, values), nested({bound}), Count(("a", "b")), counted]
print([fingerprint(part).hex() for part in parts])
"""


def run(
    lines: int = 0, bound: int = 3, limit: int = 1, seed: int = 0, file: str = "job.py"
) -> list[str]:
    program = PROGRAM.format(lines="\n" * lines, bound=bound, limit=limit, file=file)
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    )
    found: list[str] = ast.literal_eval(done.stdout.decode())
    return found


def changed(first: list[str], second: list[str]) -> list[bool]:
    return [a != b for a, b in zip(first, second, strict=True)]


def test_another_process_finds_the_same() -> None:
    first = run()
    assert run(lines=5, seed=1) == first
    assert changed(run(bound=4), first) == [False, True, True, True]
    assert changed(run(limit=2), first) == [True, True, False, False]  # by a function it calls


def test_another_release_of_cloudpickle_finds_the_same() -> None:
    assert run(file="<dynamic-code>") == run(file="job.py")


class Options:  # without functions: byte code differs between releases of Python
    depth = 3


def test_every_release_of_what_we_stand_on_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Options, "__module__", "__main__")
    options = Options()
    options.words = {"a": [1, 2.5], "b": {None, "x"}}  # type: ignore[attr-defined]
    value = (options, Fraction(1, 3), OrderedDict(x=b"1"), datetime.date(2026, 1, 2))
    assert fingerprint(value).hex() == "badd00c4a4c62cd4c0b858ff8372160e"


class Knot:
    def __init__(self) -> None:
        self.others: list[Knot] = []


def test_objects_that_all_name_each_other_are_walked_once() -> None:
    knots = [Knot() for _ in range(30)]  # 30! paths
    for knot in knots:
        knot.others = knots
    assert fingerprint(knots) == fingerprint(knots)


def test_a_number_in_an_array_or_a_frame_counts() -> None:
    pandas = pytest.importorskip("pandas")
    for make in (np.array, lambda x: pandas.DataFrame({"x": x}), lambda x: np.array(x, object)):
        assert fingerprint(make([1, 2])) == fingerprint(make([1, 2]))
        assert fingerprint(make([1, 2])) != fingerprint(make([1, 3]))


def even(x: int) -> bool:
    return x == 0 or odd(x - 1)


def odd(x: int) -> bool:
    return x != 0 and even(x - 1)


def one(x: int) -> int:
    return x + 1


def other(x: int) -> int:
    return x + 2


def default(x: int, y: int = 1) -> int:
    return x + y


def default_2(x: int, y: int = 2) -> int:
    return x + y


def closing(y: Any) -> Callable[[int], Any]:
    return lambda x: (x, y)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (one, other),
        (even, odd),
        (default, default_2),
        (closing(1), closing(2)),
        (partial(default, y=1), partial(default, y=2)),
        ("12".join, "13".join),
        ((1, 2), (12,)),
        ((1, 2), [1, 2]),
        (1, True),
        (1, 1.0),
        ("1", b"1"),
        ({"a": 1}, {"a": 2}),
        ([[1], 2], [[1, 2]]),
        (len, max),
    ],
)
def test_what_differs_is_told_apart(a: Any, b: Any) -> None:
    assert fingerprint(a) != fingerprint(b)
    assert fingerprint(a) == fingerprint(a)


def test_equal_values_are_the_same() -> None:
    assert fingerprint({"x": {1, 2}, "y": 3}) == fingerprint({"y": 3, "x": {2, 1}})
    text = "".join(["a", "b"])
    assert fingerprint(("ab", text)) == fingerprint(("ab", "ab"))
    assert fingerprint(closing((1, {2}))) == fingerprint(closing((1, {2})))
