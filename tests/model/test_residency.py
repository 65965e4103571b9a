"""Models in system files: single models of a pattern, shares of requests, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

import isocline
from isocline.errors import SystemFileError, UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.residency import Catalogue, Model, model_of

FILE = """
kind: routing
models:
  - {name: base-7b, size: 14, load: 6.0}
  - {name: "lora-*", count: 5, popularity: {zipf: 1.0}, size: 0.1, load: 0.5}
backends:
  - name: a
    curve: {type: hyperbolic, peak: 6.0, half: 5.0}
    memory: 16
    resident: [base-7b]
  - {name: b, curve: {type: hyperbolic, peak: 40.0, half: 12.0}}
frontends:
  - {name: eu, rate: 12.0, backends: [a, b], models: {base-7b: 3, "lora-*": 1}}
  - {name: us, rate: 8.0, backends: [b], match: {model: "lora-*"}}
  - {name: ap, rate: 8.0, backends: [b], match: {model: other}}
"""


def loaded(folder: Path, text: str) -> RoutingSystem:
    path = folder / "models.yaml"
    path.write_text(text)
    return isocline.load(path, "routing")


def test_a_pattern_is_as_many_models_as_it_counts(tmp_path: Path) -> None:
    system = loaded(tmp_path, FILE)
    names = [model.name for model in system.catalogue.models]
    assert names == ["base-7b", "lora-1", "lora-2", "lora-3", "lora-4", "lora-5"]
    assert system.catalogue.sizes.tolist() == [14.0] + [0.1] * 5
    assert system.catalogue.loads.tolist() == [6.0] + [0.5] * 5
    assert system.catalogue.weights.sum() == pytest.approx(6.0)
    assert system.has_residency
    assert [b.memory for b in system.backends] == [16.0, None]
    assert [b.resident for b in system.backends] == [("base-7b",), ()]


def test_requests_ask_for_models_by_popularity_by_shares_or_for_none(tmp_path: Path) -> None:
    shares = loaded(tmp_path, FILE).model_shares
    zipf = 1.0 / np.arange(1.0, 6.0)
    np.testing.assert_allclose(shares[0], [0.75, *(0.25 * zipf / zipf.sum())])
    np.testing.assert_allclose(shares[1], [0.0, *(zipf / zipf.sum())])
    assert not shares[2].any()


def test_the_weight_of_an_entry_is_that_of_all_its_models(tmp_path: Path) -> None:
    for popularity in ("3", "{weight: 3}", "{weight: 3, zipf: 2}"):
        system = loaded(tmp_path, FILE.replace("{zipf: 1.0}", popularity))
        assert system.catalogue.weights.sum() == pytest.approx(4.0)


def test_a_name_comes_before_the_patterns_that_it_matches() -> None:
    own, kind = Model("lora-2", size=2.0), Model("lora-*", count=3)
    assert model_of((kind, own), "lora-2") is own
    assert model_of((kind, own), "lora-7") is kind
    assert model_of((kind, own), "other") is None
    models = Catalogue.of((kind, own)).models
    assert {model.name: model.size for model in models} == {
        "lora-1": 1.0,
        "lora-2": 2.0,
        "lora-3": 1.0,
    }


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "memory: 16",
            "memory: 1",
            "10: backends[0] 'a', resident: backend 'a': its resident models take 14 of memory, "
            "and it has 1; give more memory, or pin fewer",
        ),
        (
            "[base-7b]",
            "[base-8b]",
            "10: backends[0] 'a', resident[0]: backend 'a': 'base-8b' is no model; give the name "
            "of one, of 'base-7b', 'lora-*'",
        ),
        (
            "count: 5, ",
            "",
            "5: models[1] 'lora-*', count: model 'lora-*': a plan or a simulation needs the "
            "number of models that the pattern stands for; add it, as count: 105",
        ),
        (
            '"lora-*": 1',
            "lora-6: 1",
            "13: frontends[0] 'eu', models.lora-6: 'lora-6' is no model; there are 'base-7b', "
            "'lora-1', 'lora-2', 'lora-3', 'lora-4' and 1 more",
        ),
        (
            "base-7b: 3, ",
            "base-7b: -3, ",
            "13: frontends[0] 'eu', models.base-7b: is -3; give a number of at least 0",
        ),
        (
            'base-7b: 3, "lora-*": 1',
            "base-7b: 0",
            "13: frontends[0] 'eu', models: all shares of models are 0; give one above 0",
        ),
        (
            'name: "lora-*"',
            "name: lora",
            "5: models[1] 'lora', count: model 'lora': count is 5; give a name with one * in it, "
            "in whose place the numbers go",
        ),
        (
            "{zipf: 1.0}",
            "most",
            "5: models[1] 'lora-*', popularity: is 'most'; give a mapping, as {key: value}",
        ),
        ("size: 14", "size: 0", "4: models[0] 'base-7b', size: is 0; give a number above 0"),
        (
            "load: 6.0",
            "loads: 6.0",
            "4: models[0] 'base-7b', loads: is an unknown key; did you mean 'load'? known: name, "
            "size, load, count, popularity",
        ),
        (
            'name: "lora-*", count: 5',
            "name: base-7b",
            "5: models[1] 'base-7b', name: model 'base-7b' stands twice; choose another name, or "
            "leave one out",
        ),
    ],
)
def test_what_cannot_be_is_named_with_its_line_and_remedy(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in FILE
    with pytest.raises(SystemFileError) as raised:
        loaded(tmp_path, FILE.replace(old, new))
    assert str(raised.value) == f"{tmp_path / 'models.yaml'}:{says}"


def test_a_model_that_no_backend_can_hold_is_said(tmp_path: Path) -> None:
    text = FILE.replace("{name: b, curve", "{name: b, memory: 3, curve")
    assert isocline.notes(loaded(tmp_path, text)) == []
    (note,) = isocline.notes(loaded(tmp_path, text.replace("size: 0.1", "size: 4")))
    assert note == (
        "model 'lora-*': its size is 4, and no backend has room for more than 3, so that each "
        "request for it costs loads; give a backend more memory"
    )


def test_memory_needs_models(tmp_path: Path) -> None:
    begin, end = FILE.index("models:"), FILE.index("backends:")
    with pytest.raises(SystemFileError, match="resident is given, and the system has no models"):
        loaded(tmp_path, FILE[:begin] + FILE[end:])


def test_arguments_of_a_model_are_checked() -> None:
    with pytest.raises(UsageError, match="size"):
        Model("a", size=-1.0)
    with pytest.raises(UsageError, match="load"):
        Model("a", load=float("nan"))
    with pytest.raises(UsageError, match="zipf"):
        Model("a", zipf=-1.0)
