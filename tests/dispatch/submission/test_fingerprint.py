"""Fingerprints: the same for what does the same, in another process too."""

import ast
import datetime
import os
import random
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isocline.dispatch.submission.fingerprint import fingerprint

PROGRAM = """
import types
import cloudpickle
from isocline.dispatch.submission.fingerprint import fingerprint
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
    assert fingerprint(value).hex() == "0784ddd057444cb4b27c221ef902721f"


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


# A program of several files of the user's own: each edit below changes what `run` does.

FILES = {
    "main.py": """
import sys
import threading
import helpers
import own.deep.parts
from functools import lru_cache, partial, wraps
from own import settings
from own.shapes import Kind, Shape, Square
from shared import traced

table = {"a": 1, "b": [2, 3]}
weights = [0.5] * 1000
choose = {"first": lambda x: x + 1}
scaled = partial(max, 1)
shape = Shape(2)

@lru_cache
def cached(x):
    return x * 2

@traced
def decorated(x):
    return x - 3

class Base:
    limits = {"low": 1}

class Parser(Base):
    words = ["x"]
    @property
    def size(self):
        return self.limits["low"]
    @classmethod
    def make(cls):
        return cls.words

def run(chunk, most=4):
    from own import late
    chosen = choose["first"](table["a"]), scaled(2), cached(1), decorated(4), weights[0]
    shapes = shape.area(), Square().area(), Kind.ROUND, own.deep.parts.part(1)
    return chosen, shapes, Parser().size, helpers.parse(chunk), settings.DEPTH, late, most

if __name__ == "__main__":
    from isocline.dispatch.submission.fingerprint import fingerprint
    print(fingerprint(run).hex())
""",
    "helpers.py": "import threading\nlock = threading.Lock()\n"
    "def parse(x):\n    with lock:\n        return inner(x)\ndef inner(x):\n    return x + 'p'\n"
    "def unused(x):\n    return 1\n",
    "shared.py": "from functools import wraps\ndef traced(f):\n    @wraps(f)\n"
    "    def call(*a):\n        return f(*a)\n    return call\n",
    "own/__init__.py": "",
    "own/settings.py": "DEPTH = 3\nOTHER = 4\n",
    "own/late.py": "from . import later\ndef f():\n    return 1\n",
    "own/later.py": "value = 1\n",
    "own/deep/__init__.py": "",
    "own/deep/parts.py": "def part(x):\n    return x\n",
    "own/shapes.py": "from dataclasses import dataclass, field\nfrom enum import Enum\n"
    "class Kind(Enum):\n    ROUND = 1\n    def __str__(self):\n        return 'k'\n"
    "@dataclass\nclass Shape:\n    side: int\n    depth: int = 5\n"
    "    extra: list = field(default_factory=lambda: [6])\n"
    "    def area(self):\n        return self.side\n"
    "class Square:\n    def area(self):\n        return Shape(1).area()\n",
}


def program(
    folder: Path, file: str = "main.py", old: str = "", new: str = "", seed: int = 0
) -> str:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == file:
            assert old in text
            text = text.replace(old, new) if old else text  # noqa: PLW2901
        path.write_text(text)
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"}
    command: list[str | Path] = [sys.executable, folder / "main.py"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    return done.stdout.decode()


EDITS = [
    ("main.py", '"a": 1', '"a": 7'),
    ("main.py", "[2, 3]", "[2, 4]"),
    ("main.py", "[0.5] * 1000", "[0.5] * 999 + [0.6]"),
    ("main.py", "x + 1", "x + 7"),
    ("main.py", "partial(max, 1)", "partial(max, 7)"),
    ("main.py", "Shape(2)", "Shape(7)"),
    ("main.py", "x * 2", "x * 7"),
    ("main.py", "x - 3", "x - 7"),
    ("main.py", '{"low": 1}', '{"low": 7}'),
    ("main.py", '["x"]', '["y"]'),
    ("main.py", 'self.limits["low"]', '-self.limits["low"]'),
    ("main.py", "most=4", "most=7"),
    ("main.py", "def run(chunk, most=4)", "def run(chunk, *, most=4)"),
    ("helpers.py", "return inner(x)", "return inner(inner(x))"),
    ("helpers.py", "x + 'p'", "x + 'q'"),
    ("shared.py", "return f(*a)", "return -f(*a)"),
    ("own/settings.py", "DEPTH = 3", "DEPTH = 7"),
    ("own/late.py", "return 1", "return 7"),
    ("own/later.py", "value = 1", "value = 7"),
    ("own/deep/parts.py", "return x", "return -x"),
    ("own/shapes.py", "ROUND = 1", "ROUND = 7"),
    ("own/shapes.py", "return 'k'", "return 'l'"),
    ("own/shapes.py", "depth: int = 5", "depth: int = 7"),
    ("own/shapes.py", "[6]", "[7]"),
    ("own/shapes.py", "return self.side", "return -self.side"),
    ("own/shapes.py", "Shape(1)", "Shape(7)"),
]


def test_each_edit_of_the_users_program_is_seen_and_nothing_else(tmp_path: Path) -> None:
    first = program(tmp_path)
    assert program(tmp_path, seed=1) == first
    assert program(tmp_path, "main.py", "import sys\n", "import sys\n\n# a comment\n") == first
    assert program(tmp_path, "helpers.py", "return 1", "return 7") == first  # not used
    assert program(tmp_path, "own/settings.py", "OTHER = 4", "OTHER = 7") == first
    unseen = [edit for edit in EDITS if program(tmp_path, *edit) == first]
    assert unseen == []


def test_a_compiled_function_is_the_same_in_another_process(tmp_path: Path) -> None:
    """Numba pickles its functions with a number of their own."""
    (tmp_path / "job.py").write_text(
        "import numba\nfrom isocline.dispatch.submission.fingerprint import fingerprint\n"
        "@numba.njit\ndef inner(x):\n    return x + 1\n"
        "def run(x):\n    return inner(x)\n"
        "print(fingerprint(inner).hex(), fingerprint(run).hex())\n"
    )
    command: list[str | Path] = [sys.executable, tmp_path / "job.py"]
    first, second = (subprocess.check_output(command) for _ in range(2))
    assert first == second
    text = (tmp_path / "job.py").read_text()
    (tmp_path / "job.py").write_text(text.replace("x + 1", "x + 2"))
    third = subprocess.check_output(command)
    assert not set(third.split()) & set(first.split())


unseeded = random.Random()
held = threading.Lock()
ways = os.environ


def uses_what_differs_between_processes() -> object:
    with held:
        return unseeded.random(), ways


def test_what_no_two_processes_have_alike_is_covered_by_its_kind() -> None:
    before = fingerprint(uses_what_differs_between_processes)
    unseeded.random()
    assert fingerprint(uses_what_differs_between_processes) == before


def test_paths_numbers_of_any_length_and_code_in_try_blocks() -> None:
    def inside() -> int:
        try:
            return len("a")
        except ValueError:
            return 2

    def outside() -> int:
        try:
            return len("a")
        except KeyError:
            return 2

    assert fingerprint(10**5000) != fingerprint(10**5000 + 1)
    assert fingerprint([10**5000]) != fingerprint([10**5000 + 1])
    assert fingerprint(Path("a")) != fingerprint(Path("b"))
    assert fingerprint(inside) != fingerprint(outside)
