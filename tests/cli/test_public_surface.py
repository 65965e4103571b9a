"""What `import isocline` offers is there, listed, and typed."""

import re
from pathlib import Path

import pytest

import isocline

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", isocline.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(isocline, name) is not None
    assert name in dir(isocline)


def test_every_public_name_is_known_to_type_checkers() -> None:
    source = Path(isocline.__file__).read_text()
    typed = set(re.findall(r"^    from \S+ import (\w+) as \1$", source, re.MULTILINE))
    assert typed == set(isocline.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'fly'"):
        isocline.fly  # noqa: B018


def test_a_system_is_loaded_in_one_line() -> None:
    assert isocline.load(EXAMPLES / "n_model.yaml").rates.tolist() == [0.4, 0.6]


def test_simulate_is_a_package_and_can_be_called() -> None:
    from isocline.simulate.routing.results import (
        Comparison,  # importing it must not hide the function
    )

    assert callable(isocline.simulate)
    assert isocline.Comparison is Comparison
