"""Systems of the usual keys are those of the schema, and every mistake is left to it."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import SystemFileError
from isocline.model.fleet import RoutingSystem
from isocline.model.systemfile.build import build
from isocline.model.systemfile.document import Document, parsed, read
from isocline.model.systemfile.plain_system import plain_system
from isocline.model.systemfile.schema import checked

EXAMPLES = Path(__file__).parents[2] / "examples"
PLAIN: dict[str, Any] = {
    "kind": "routing",
    "name": "all that is usual",
    "work": {"unit": "tokens", "mean": 200, "prefill": 0.1},
    "backends": [
        {"name": "a1", "curve": {"type": "hyperbolic", "peak": 40, "half": 12.5}},
        {"name": "a2", "curve": {"type": "exponential", "peak": 10.0, "scale": 3.0}},
        {"name": "b", "curve": {"type": "knee", "peak": 10.0, "knee": 3.0, "sharpness": 2}},
        {"name": "b*", "curve": {"type": "table", "points": [[1, 2.0], [4, 5], [8, 6.5]]}},
    ],
    "frontends": [
        {"name": "eu", "rate": 0.02, "backends": ["a*", "b*", "a1"]},
        {"name": "us", "rate": 0, "backends": ["b", "a1", "b"]},
        {"name": "x", "rate": 1, "backends": ["?1"]},
    ],
}


def document(data: dict[str, Any]) -> Document:
    return parsed(Path("system.json"), json.dumps(data))


def by_schema(one: Document) -> RoutingSystem | None:
    """As the schema has it; None of what it refuses."""
    try:
        return build(one, checked(one))
    except SystemFileError:
        return None


def parts(system: RoutingSystem) -> dict[str, str]:
    """All fields, to the last digit; repr tells 1 from 1.0."""
    found = {field.name: repr(getattr(system, field.name)) for field in fields(system)}
    graph = system.graph
    return found | {"graph": repr((graph.first.tolist(), graph.sink.tolist(), graph.sinks))}


def test_usual_systems_are_read_here() -> None:
    system = plain_system(document(PLAIN))
    expected = by_schema(document(PLAIN))
    assert system is not None
    assert expected is not None
    assert parts(system) == parts(expected)


@pytest.mark.parametrize("name", ["n_model", "mixed_fleet", "pigou", "regions", "tiers"])
def test_examples_are_usual(name: str) -> None:
    one = read(EXAMPLES / f"{name}.yaml")
    system, expected = plain_system(one), by_schema(one)
    assert system is not None
    assert expected is not None
    assert parts(system) == parts(expected)


def places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to each value in a document."""
    inside = list(value.items()) if isinstance(value, dict) else []
    inside += list(enumerate(value)) if isinstance(value, list) else []
    return [at, *(place for key, one in inside for place in places(one, (*at, key)))]


def put(value: Any, place: tuple[str | int, ...], new: Any) -> Any:
    """A copy of a document with another value at a place, or without it where that is `...`."""
    if not place:
        return new
    copied: Any = dict(value) if isinstance(value, dict) else list(value)
    if len(place) == 1 and new is ...:
        del copied[place[0]]
    elif isinstance(copied, dict) and place[0] not in copied:
        copied[place[0]] = new
    else:
        copied[place[0]] = put(copied[place[0]], place[1:], new)
    return copied


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [..., None, True, 0, 1, -1, 2**60, 10**40, 1e308, -0.0, 0.5, "", "a1", "b*", "nobody", "a\n",
     "\x7f", "\u2028", "1", [], [1.0], [[1, 2]], ["a1"], [["a1"]], {}, {"type": "hyperbolic"},
     {"type": "pool", "members": []}, {"type": ["knee"]}, {"name": "a1"}]
)  # fmt: skip
KEYS = st.sampled_from(["name", "rate", "prefix", "url", "sizes", "trace", "unit", "peak", "serve"])
PLACES = [place for place in places(PLAIN) if place]
CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), ODD, st.none() | KEYS), min_size=1, max_size=2
)


@given(changes=CHANGES)
def test_what_is_read_here_is_what_the_schema_reads(changes: list[tuple[Any, Any, Any]]) -> None:
    data = PLAIN
    for place, new, key in changes:
        try:
            data = put(data, place if key is None or new is ... else (*place[:-1], key), new)
        except (
            KeyError,
            IndexError,
            TypeError,
        ):  # the first change took away what the second wants
            return
    if not isinstance(data, dict) or data.get("kind") != "routing":
        return
    system = plain_system(document(data))
    if system is not None:
        expected = by_schema(document(data))
        assert expected is not None
        assert parts(system) == parts(expected)


def test_a_usual_system_needs_no_pydantic() -> None:
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        f"import isocline; print(isocline.load({str(EXAMPLES / 'mixed_fleet.yaml')!r}).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mixed fleet\n"
