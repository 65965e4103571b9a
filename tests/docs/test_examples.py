"""What the documents show, runs."""

import re
from pathlib import Path

import isocline

ROOT = Path(__file__).parents[2]


def test_the_policy_in_the_documents_is_the_example_file() -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "docs/choosing.md").read_text(), re.DOTALL)
    assert shown is not None
    source = (ROOT / "examples/my_policy.py").read_text()
    code = re.sub(r'""".*?"""\n+', "", source, flags=re.DOTALL)
    assert re.sub(r"\s+", " ", shown[1]).strip() == re.sub(r"\s+", " ", code).strip()


def test_ones_own_policy_runs_and_does_better_than_chance() -> None:
    system = isocline.load(ROOT / "examples/regions.yaml")
    mine, chance = isocline.simulate(
        system,
        policies=["examples.my_policy:two_by_price", "random"],
        load=0.4,
        horizon=200.0,
        warmup=50.0,
        replications=4,
    ).policies
    assert mine.status == "stable"
    assert mine.mean_jobs is not None
    if chance.mean_jobs is not None:
        assert mine.mean_jobs.high < chance.mean_jobs.low
