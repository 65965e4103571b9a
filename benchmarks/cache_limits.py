"""What prefix caches could save at most: `python -m benchmarks.cache_limits TRACE`.

The mixed fleet of the arena with caches, at a load of 0.95 without them. Beside the best rival
without prices and the default policy stand systems that nobody has: one in which all backends share
one cache as large as all of theirs together, from which the least recently used blocks are
dropped; and one whose shared cache knows the future, and drops what is used again last (L. A.
Belady, IBM Systems Journal 5, 1966). What such a cache holds does not depend on routing, so each
request has its work whatever the policy, which is the default one. A minute.
"""

import argparse
import heapq
from collections import OrderedDict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

import isocline
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import PromptBlocks, Trace
from isocline.report.reproduce.systems import cached_mixed_fleet

BLOCK, LOAD, TICK = 512, 0.95, 3.0
RIVALS = ("bounded_hash:bound=1.01", "bounded_hash:bound=1.1", "bounded_hash")
DEFAULT = "gmsr_secant"
NEVER = 2**62

IndexArray = npt.NDArray[np.int64]


def least_recently_used(blocks: PromptBlocks, room: int) -> IndexArray:
    """(n,) leading blocks of each prompt that one cache holds; the end of a prompt leaves first."""
    held: OrderedDict[int, None] = OrderedDict()
    found = []
    for low, high in pairwise(blocks.first.tolist()):
        prompt = blocks.ids[low:high].tolist()
        found.append(leading(prompt, held))
        for block in reversed(prompt[:room]):
            held[block] = None
            held.move_to_end(block)
        while len(held) > room:
            held.popitem(last=False)
    return np.array(found)


def knowing_the_future(blocks: PromptBlocks, room: int) -> IndexArray:
    """The same of a cache that drops the block that is used again last, or never."""
    prompts = [blocks.ids[a:b].tolist() for a, b in pairwise(blocks.first.tolist())]
    later: list[list[int]] = []
    seen: dict[int, int] = {}
    for number in range(len(prompts) - 1, -1, -1):
        later.append([seen.get(block, NEVER) for block in prompts[number]])
        seen |= dict.fromkeys(prompts[number], number)
    held: dict[int, int] = {}  # by block, the prompt that uses it next
    last: list[tuple[int, int]] = []
    found = []
    for prompt, uses in zip(prompts, reversed(later), strict=True):
        found.append(leading(prompt, held))
        for block, use in zip(prompt, uses, strict=True):
            held[block] = use
            heapq.heappush(last, (-use, block))
        while len(held) > room:
            use, block = heapq.heappop(last)
            if held.get(block) == -use:
                del held[block]
    return np.array(found)


def leading(prompt: list[int], held: "dict[int, int] | OrderedDict[int, None]") -> int:
    """How many of its blocks, from the first one on, are held."""
    return next((i for i, block in enumerate(prompt) if block not in held), len(prompt))


def shared(system: RoutingSystem, trace: Trace, hits: IndexArray) -> tuple[float, float]:
    """Mean latency, s, and relative work, where each request has the work that its hits leave."""
    cold = system.work.of(trace)
    cached = np.minimum(hits * float(BLOCK), trace.prompt_tokens - 1.0)
    left = cold - system.work.prefill * np.maximum(cached, 0.0)
    plain = replace(
        system, backends=tuple(replace(one, cache_tokens=None) for one in system.backends)
    )
    # As if all of it were output.
    work = replace(trace, blocks=None, prompt_tokens=np.zeros_like(left), output_tokens=left)
    ratio = float(left.sum() / cold.sum())
    found = isocline.simulate(plain, [DEFAULT], trace=work, load=LOAD * ratio, replications=3)
    return mean_of(found.policies[0]), ratio


def mean_of(policy: "isocline.PolicyResult") -> float:
    assert policy.mean_latency is not None
    return policy.mean_latency.value


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    trace = isocline.read_trace(parser.parse_args().trace, tick=TICK)
    system = cached_mixed_fleet(BLOCK)
    room = sum(one.cache_tokens or 0 for one in system.backends) // BLOCK
    assert trace.blocks is not None
    run = isocline.simulate(system, [DEFAULT, *RIVALS], trace=trace, load=LOAD, replications=3)
    own, *rivals = run.policies
    rival = min(rivals, key=mean_of)
    rows: list[tuple[str, float, float]] = []
    for one in (rival, own):
        assert one.relative_work is not None
        rows.append((one.policy, mean_of(one), one.relative_work.value))
    for name, rule in (
        ("one cache for all, least recently used", least_recently_used),
        ("one cache for all, the future known", knowing_the_future),
    ):
        rows.append((name, *shared(system, trace, rule(trace.blocks, room))))
    print(f"| | mean, s | less than {rival.policy}, % | work done, % |\n|---|---|---|---|")
    for name, mean, work in rows:
        print(f"| {name} | {mean:.2f} | {100 * (1 - mean / rows[0][1]):.1f} | {100 * work:.1f} |")


if __name__ == "__main__":
    main()
