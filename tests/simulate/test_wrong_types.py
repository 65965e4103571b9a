"""Arguments of `simulate` that have another type than they should."""

from typing import Any

import pytest

import isocline
from isocline.errors import UsageError
from tests.builders import mixed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"system": "two.yaml"}, r"system 'two.yaml': give a system, as isocline.load"),
        ({"failures": [("a", 100.0)]}, r"failure \('a', 100.0\): give isocline.Failure\("),
        ({"policies": len}, "policies <built-in function len>: give a list"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        isocline.simulate(**{"system": mixed(), "policies": ["jsq"]} | arguments)
