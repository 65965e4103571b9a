"""The union of the models that backends have."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import UsageError
from isocline.gateway.models.catalogue import Catalogue, models_in
from isocline.model.serving_settings import ModelListing

A: dict[str, Any] = {
    "id": "a",
    "object": "model",
    "created": 7,
    "owned_by": "x",
    "max_model_len": 9,
}
RULE = ModelListing(fresh=5.0, kept=60.0)


def catalogue(rule: ModelListing = RULE) -> Catalogue:
    """Frontend 0 has both backends, frontend 1 the second."""
    return Catalogue(["one", "two"], [[0, 1], [1]], rule)


def test_each_model_stands_once_with_the_backends_that_have_it() -> None:
    known = catalogue()
    known.answered(0, 0.0, {"a": A, "b": {"id": "b"}})
    known.answered(1, 0.0, {"a": A | {"max_model_len": 8, "created": 9}, "c": {"id": "c"}})
    standard = {"object": "model", "created": 0, "owned_by": ""}
    assert known.union(1.0, lambda _: [0]) == [
        {"id": "a", "object": "model", "created": 7, "owned_by": "x", "backends": ["one", "two"]},
        {"id": "b", **standard, "backends": ["one"]},
        {"id": "c", **standard, "backends": ["two"]},
    ]
    assert known.union(1.0, lambda _: [1]) == [
        A | {"max_model_len": 8, "created": 9, "backends": ["two"]},
        {"id": "c", **standard, "backends": ["two"]},
    ]
    assert [it["id"] for it in known.union(1.0, lambda model: [0] if model == "b" else [])] == ["b"]


def test_names_of_backends_may_stay_inside() -> None:
    known = catalogue(ModelListing(backends=False))
    known.answered(0, 0.0, {"a": A})
    assert known.union(1.0, lambda _: [0]) == [A]


def test_the_last_answer_of_a_backend_is_kept_for_a_while() -> None:
    known = catalogue()
    known.answered(0, 0.0, {"a": A})
    known.answered(1, 50.0, {"b": {"id": "b"}})
    assert [it["id"] for it in known.union(60.0, lambda _: [0])] == ["a", "b"]
    assert [it["id"] for it in known.union(61.0, lambda _: [0])] == ["b"]
    assert known.union(111.0, lambda _: [0]) == []


def test_an_answer_is_good_for_a_while_even_if_there_was_none() -> None:
    known = catalogue()
    assert not known.is_fresh(0.0)
    known.asked(1.0)
    assert known.is_fresh(5.9)
    assert not known.is_fresh(6.0)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (
            b'{"object": "list", "data": [{"id": "a", "x": 1}, {"id": "b"}, {"id": "a", "x": 2}]}',
            "ab",
        ),
        (b'{"data": [{"id": 3}, "x", {}, {"id": "a"}]}', "a"),
        (b'{"data": []}', ""),
        (b'{"data": {}}', None),
        (b'{"models": []}', None),
        (b"[]", None),
        (b"no", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b'{"data": [' + b"7" * 6000 + b"]}", None),
    ],
)
def test_lists_are_read_as_far_as_they_are_lists(body: bytes, names: str | None) -> None:
    models = models_in(body)
    assert (None if models is None else "".join(models)) == names


@given(
    st.recursive(
        st.none() | st.text(),
        lambda it: st.lists(it) | st.dictionaries(st.sampled_from(["data", "id"]), it),
    )
)
def test_whatever_a_server_says_it_is_no_crash(document: Any) -> None:
    models = models_in(json.dumps(document).encode())
    assert models is None or all(model["id"] == name for name, model in models.items())


def test_times_have_to_be_times() -> None:
    with pytest.raises(UsageError, match="models: fresh is 0; give a time"):
        ModelListing(fresh=0)
