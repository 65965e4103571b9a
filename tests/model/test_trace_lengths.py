"""Traces made in Python, whose columns must be of one length."""

from typing import Any

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.model.traffic import Mix, Trace

LABELS = Mix(("f",), np.zeros(10, np.int32), "frontend")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mix": LABELS}, "mix has 10 values, and times has 20"),
        ({"work": np.ones(10)}, "work has 10 values, and times has 20"),
        ({"work": np.ones(50)}, "work has 50 values"),
        ({"prompt_tokens": np.ones(1)}, "prompt_tokens has 1 value,"),
        ({"output_tokens": np.ones(21)}, "output_tokens has 21 values"),
    ],
)
def test_columns_of_unequal_length_are_refused(wrong: dict[str, Any], words: str) -> None:
    columns = {"prompt_tokens": np.ones(20), "output_tokens": np.ones(20)} | wrong
    with pytest.raises(UsageError, match=f"trace mine: {words}"):
        Trace("mine", np.arange(20.0), **columns)
