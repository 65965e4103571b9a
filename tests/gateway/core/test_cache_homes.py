"""Homes of prompts: the same for every router, by weight, and told by what differs."""

import math
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.cache_homes import NO_HOME, CacheHomes
from isocline.gateway.core.core import Core
from isocline.gateway.core.prompts import BLOCK_LENGTH, Prompt
from isocline.gateway.core.request import Profile
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.proxy.prompt_reader import read_prompt, session_prompt
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem, Work
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse

WEIGHTS = [1.0, 2.0, 5.0, 0.0]
KEYS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5)


@given(KEYS, st.sets(st.integers(0, 3)))
def test_who_leaves_moves_no_prompt_of_the_others(keys: list[int], opened: set[int]) -> None:
    homes = CacheHomes(WEIGHTS)
    everywhere = homes.home(keys, range(4))
    assert everywhere != 3  # which has no weight
    found = homes.home(keys, sorted(opened))
    assert found in opened - {3} or (found == NO_HOME and not opened - {3})
    if everywhere in opened:
        assert found == everywhere


def test_homes_are_in_proportion_to_weights() -> None:
    homes = CacheHomes(WEIGHTS)
    count = 20_000
    found = Counter(homes.home([key], range(4)) for key in range(count))
    for backend, weight in enumerate(WEIGHTS):
        share = weight / sum(WEIGHTS)
        assert abs(found[backend] / count - share) <= 4 * math.sqrt(share * (1 - share) / count)


def test_instructions_that_all_have_tell_nothing() -> None:
    homes = CacheHomes([1.0] * 50)
    talks = [[1, 2, 100 + talk, 200 + talk] for talk in range(50)]
    for keys in talks * 2:
        homes.sent(keys)
    assert len({homes.home(keys, range(50)) for keys in talks}) > 10
    for keys in talks:
        # The first part of a talk is in all its later ones.
        assert homes.home(keys, range(50)) == homes.home([*keys[:3], 9, 8], range(50))
    assert homes.home([1, 2], range(50)) == homes.home([2], range(50))
    assert homes.home([], range(50)) == NO_HOME


@given(st.lists(st.floats(0.0, 1.0), max_size=30))
def test_what_is_saved_at_home_includes_what_successors_save(shares: list[float]) -> None:
    homes = CacheHomes([1.0])
    for share in shares:
        homes.answered(share)
    mean = (1 / 3 + sum(shares)) / (1 + len(shares))
    assert homes.share == pytest.approx(
        min(mean / (1.0 - mean), 1.0) if mean < 1 else 1.0, rel=0.05
    )


def test_keys_are_those_of_every_process_and_grow_with_the_prompt() -> None:
    body = b'{"model": "m", "prompt": "' + b"a" * 3000 + b'"}'
    first = read_prompt(body, len(body), homes=True)
    assert first is not None
    assert len(first.keys) == len(first.blocks) == 5
    longer = read_prompt(body[:-2] + b"b" * 2000 + b'"}', 5000, homes=True)
    assert longer is not None
    assert longer.keys[:5] == first.keys
    other = read_prompt(body.replace(b'"m"', b'"n"'), len(body), homes=True)
    assert other is not None
    assert not set(other.keys) & set(first.keys)
    without = read_prompt(body, len(body))
    assert without is not None
    assert not without.keys
    code = (
        "from isocline.gateway.proxy.prompt_reader import read_prompt, session_prompt\n"
        f"print(read_prompt({body!r}, {len(body)}, homes=True).keys, session_prompt(b's', 1).keys)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == f"{first.keys} {session_prompt(b's', 1).keys}"


def routers(count: int, homes: bool) -> list[Core]:
    system = RoutingSystem(
        (Frontend("all", PoissonArrivals(0.1)),),
        tuple(
            Backend(f"b{b}", HyperbolicCurve(1000.0, 10.0), cache_tokens=10**6) for b in range(4)
        ),
        CompatibilityGraph.from_neighbours(4, [list(range(4))]),
        Work("tokens", 1000.0, 1.0, 1.0),
    )
    return [
        core_of(system, parse("gmsr"), seed=seed, unplanned="no rates", cache_homes=homes)
        for seed in range(count)
    ]


@pytest.mark.parametrize("homes", [False, True])
def test_routers_that_see_a_part_of_each_talk_send_it_to_one_backend(homes: bool) -> None:
    draws = random.Random(1)
    cores, where = routers(8, homes), dict[int, list[int]]()
    for turn in range(6):
        for talk in range(40):
            blocks = range(100 * talk, 100 * talk + 4 * (turn + 1))
            prompt = Prompt(len(blocks) * BLOCK_LENGTH, tuple(blocks), keys=tuple(blocks))
            core = draws.choice(cores)
            sent = core.arrived(float(turn), 0, Profile(prompt=prompt))
            assert isinstance(sent, Send)
            before = where.setdefault(talk, [])
            tokens = len(blocks) * BLOCK_LENGTH // 4
            cached = (len(blocks) - 4) * BLOCK_LENGTH // 4 if sent.backend in before else 0
            core.finished(sent.request, float(turn), usage=Usage(tokens, 10, cached))
            before.append(sent.backend)
    at_one = sum(len(set(found)) == 1 for found in where.values())
    assert (at_one >= 36) if homes else (at_one <= 10)
