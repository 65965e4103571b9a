"""Fingerprints: the same for what does the same, in another process too."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from isocline.dispatch.fingerprint import fingerprint

PROGRAM = """
from isocline.dispatch.fingerprint import fingerprint
{lines}
limit = {limit}
def count(words, least=3, *, skip={{"a", "b", "c", "d"}}):
    return [w for w in words if len(w) > least and w not in {{"the", "and", "of"}}][:limit_of()]
def limit_of():
    return limit
def nested(bound):
    def inner(x):
        return inner(x - 1) if x > bound else count([x])
    return inner
print(fingerprint((count, nested({bound}), {{"x": 1, "y": frozenset("abcdef")}}, "a" * 3)).hex())
"""


def run(lines: int = 0, bound: int = 3, limit: int = 1, seed: int = 0) -> str:
    program = PROGRAM.format(lines="\n" * lines, bound=bound, limit=limit)
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    )
    return done.stdout.decode()


def test_another_process_finds_the_same() -> None:
    first = run()
    assert run(lines=5, seed=1) == first
    assert run(bound=4) != first
    assert run(limit=2) != first  # in a function of the same module


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
