"""Rivals that look at models, on views made by hand."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import PolicyError
from isocline.policies.parse import parse
from tests.policies.routing.views import BACKENDS, CAPACITY, WORKLOADS, Frontend, best

LOADS = st.lists(st.sampled_from([0.0, 0.5]), min_size=BACKENDS, max_size=BACKENDS)


def asking(text: str, model: int, load: Any = (0.0,) * BACKENDS) -> Frontend:
    """A frontend with a job that asks for a model; `load`, s, is what it takes to load it."""
    frontend = Frontend(text)
    frontend.view = frontend.view._replace(
        work=np.column_stack((1.0 + 10.0 * np.array(load), np.array(load))),
        job=np.array([0.0, 0.0, float(model)]),
    )
    return frontend


@given(workload=WORKLOADS, load=LOADS)
def test_affinity_takes_the_fewest_jobs_among_holders(
    workload: list[int], load: list[float]
) -> None:
    holders = [b for b in range(BACKENDS) if load[b] == 0.0] or list(range(BACKENDS))
    scores = [float(n) if b in holders else np.inf for b, n in enumerate(workload)]
    assert asking("model_affinity", 3, load).holding(workload).pick() in best(scores)


@given(workload=WORKLOADS, model=st.integers(0, 200), k=st.integers(1, BACKENDS))
def test_a_shard_is_the_same_at_any_workload_and_grows_by_one(
    workload: list[int], model: int, k: int
) -> None:
    def shard(k: int) -> set[int]:
        """Backends that are taken when all others are full."""
        found: set[int] = set()
        for _ in range(BACKENDS):
            jobs = [1000 if b in found else 0 for b in range(BACKENDS)]
            found.add(asking(f"shuffle_of_k:k={k}", model).holding(jobs).pick())
        return found

    assert len(shard(k)) == k
    assert shard(k - 1) < shard(k) if k > 1 else shard(1)
    scores = [float(n) if b in shard(k) else np.inf for b, n in enumerate(workload)]
    assert asking(f"shuffle_of_k:k={k}", model).holding(workload).pick() in best(scores)


def test_rendezvous_gives_each_backend_models_as_its_weight() -> None:
    models = 4000
    for weighted, weight in ((True, CAPACITY), (False, np.ones(BACKENDS))):
        text = f"rendezvous:weighted={str(weighted).lower()}"
        frontend = asking(text, 0)
        counts: Counter[int] = Counter()
        for model in range(models):
            frontend.view.job[2] = model
            counts[frontend.pick()] += 1
        found = np.array([counts[b] for b in range(BACKENDS)]) / models
        np.testing.assert_allclose(found, weight / weight.sum(), atol=0.03)


@given(model=st.integers(0, 200), workload=WORKLOADS)
def test_rendezvous_moves_no_model_but_those_of_a_backend_that_leaves(
    model: int, workload: list[int]
) -> None:
    frontend = asking("rendezvous", model).holding(workload)
    home = frontend.pick()
    for gone in range(BACKENDS):
        left = [b for b in range(BACKENDS) if b != gone]
        assert gone == home or frontend.pick(among=left) == home


@pytest.mark.parametrize("text", ["model_affinity", "shuffle_of_k:k=2", "rendezvous"])
def test_jobs_without_a_model_go_anywhere(text: str) -> None:
    assert (Frontend(text).picks(400) > 0).all()


def test_a_shard_has_a_backend() -> None:
    with pytest.raises(PolicyError, match="k is a whole number, 1 or more"):
        parse("shuffle_of_k:k=0")
