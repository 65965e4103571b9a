"""What `import isocline` offers is there, listed, typed, and documented."""

import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import isocline
from isocline.simulate.routing.compare import simulate
from isocline.simulate.scheduling.compare import simulate_cluster
from tests.docs.api_page import PAGE, grouped, page

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


def test_names_are_listed_and_nothing_else() -> None:
    assert dir(isocline) == sorted(isocline.__all__)
    assert len(set(isocline.__all__)) == len(isocline.__all__)


def test_help_on_the_package_is_one_screen_and_has_every_public_name() -> None:
    text = pydoc.plain(pydoc.render_doc(isocline))
    lines = text.splitlines()
    assert len(lines) <= 52
    assert max(map(len, lines)) <= 110
    missing = [name for name in isocline.__all__ if not re.search(rf"\b{name}s?\b", text)]
    assert missing == ["__version__"]
    assert "Methods defined here" not in text


def test_help_on_the_package_gives_every_function_a_line() -> None:
    text = inspect.getdoc(isocline) or ""
    for name in isocline.__all__:
        if inspect.isfunction(getattr(isocline, name)):
            assert re.search(rf"^    {name} {{2,}}\S", text, re.MULTILINE), name


def test_help_on_the_package_loads_nothing() -> None:
    check = (
        "import pydoc, sys, isocline; pydoc.render_doc(isocline); "
        "print(*({'numba', 'numpy', 'isocline.model'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_on_simulate_has_the_signatures_of_both_kinds_and_what_they_mean() -> None:
    text = pydoc.plain(pydoc.render_doc(isocline.simulate))
    assert "    system: RoutingSystem," in text
    assert "    cluster: Cluster," in text
    for function in (simulate, simulate_cluster):
        for parameter in inspect.signature(function).parameters.values():
            assert re.search(rf"^ +{parameter.name}: \w+.*,$", text, re.MULTILINE), parameter
        for line in (inspect.getdoc(function) or "").splitlines():
            assert line in text


def test_simulate_has_a_signature() -> None:
    found = inspect.signature(isocline.simulate)
    wanted = {
        *inspect.signature(simulate).parameters,
        *inspect.signature(simulate_cluster).parameters,
    }
    assert set(found.parameters) == wanted - {"cluster"}
    assert list(found.parameters)[:2] == ["system", "policies"]
    first = inspect.signature(simulate).parameters["load"]
    assert found.parameters["load"] == first


def test_the_page_of_public_names_is_up_to_date() -> None:
    listed = [name for names in grouped().values() for name in names]
    assert sorted([*listed, "__version__"]) == sorted(isocline.__all__)
    wrong = "docs/api.md is not of these names; write it anew: python -m tests.docs.api_page"
    assert PAGE.read_text(encoding="utf-8") == page(), wrong
    assert "docs/api.md" in (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
