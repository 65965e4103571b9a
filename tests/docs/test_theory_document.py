"""What docs/theory.md shows, runs; and the prices of anarchy in docs/choosing.md are those."""

import re
from pathlib import Path

import pytest

import isocline

ROOT = Path(__file__).parents[2]


def test_code_runs_and_the_largest_kappa_is_the_lowest_marginal_rate_of_the_plan() -> None:
    text = (ROOT / "docs/theory.md").read_text()
    names = {"isocline": isocline, "system": isocline.load(ROOT / "examples/regions.yaml")}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    lowest = isocline.plan(names["system"]).tiers[-1].marginal_rate
    assert names["constants"].kappa_largest == pytest.approx(lowest, rel=1e-9)


def test_everything_named_in_the_table_exists() -> None:
    text = (ROOT / "docs/theory.md").read_text()
    for name in re.findall(r"`isocline\.(\w+)\(", text):
        assert callable(getattr(isocline, name))
    for file in re.findall(r"`(test_\w+)`", text):
        assert list((ROOT / "tests/theory").rglob(f"{file}.py"))


def test_prices_of_anarchy_in_words_are_those_computed() -> None:
    text = " ".join((ROOT / "docs/choosing.md").read_text().split())
    said = re.search(
        r"([\d.]+) % on `examples/mixed_fleet.yaml`, (\d+) % on `regions.yaml`, a third on `pigou",
        text,
    )
    assert said is not None
    shares = [float(said[1]), float(said[2]), 100.0 / 3.0]
    for name, share in zip(("mixed_fleet", "regions", "pigou"), shares, strict=True):
        system = isocline.load(ROOT / "examples" / f"{name}.yaml")
        assert 100.0 * (isocline.price_of_anarchy(system) - 1.0) == pytest.approx(share, rel=0.15)
