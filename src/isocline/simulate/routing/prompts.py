"""Prompts of a trace at backends with prefix caches."""

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import PromptBlocks, Trace
from isocline.simulate.routing.kernels.prefix_caching import Prompts

FloatArray = npt.NDArray[np.float64]

# A block that more than this share of the prompts have is no sign that two belong together: it is
# of the instructions that an application puts before all its prompts.
_COMMON = 0.01


def prompts_of(system: RoutingSystem, trace: Trace) -> Prompts:
    """The prompts of a trace at this system.

    Raises:
        UsageError: The trace has no tokens; prompts are no work; or its blocks are not of the size
            that the system says.
    """
    if not trace.sized or trace.work is not None:
        raise UsageError(
            f"trace {trace.name}: prefix caches need the tokens of its requests; name the columns "
            "prompt and output, or leave prefix_cache out of the system"
        )
    if system.work.prefill == 0.0:
        raise UsageError(
            "work: prefill is 0, so that a prefix cache saves nothing; give the work of a prompt "
            "token, as work: {unit: tokens, mean: 1.0, prefill: 1.0, decode: 1.0}"
        ).within("work", "prefill")
    n = trace.times.size
    blocks = trace.blocks or PromptBlocks(np.zeros(n + 1, np.int64), np.zeros(0, np.int32))
    _require_size(trace, blocks, system.block_size)
    weights = np.array([system.work.prefill, system.work.decode])
    return Prompts(
        trace.prompt_tokens,
        trace.output_tokens,
        prefixes(blocks),
        blocks.first,
        blocks.ids,
        float(system.block_size),
        weights / system.work.of(trace).mean(),
    )


def prefixes(blocks: PromptBlocks) -> FloatArray:
    """(n,) a number of each prompt that those with the same beginning share.

    The first block that few prompts have, or the last one; -1, -2, ... of prompts without blocks.
    """
    n = len(blocks)
    uses = np.bincount(blocks.ids, minlength=blocks.distinct)
    after = blocks.leading(uses[blocks.ids] > _COMMON * n)
    place = blocks.first[:-1] + np.minimum(after, blocks.counts - 1)
    found = -1.0 - np.arange(n, dtype=np.float64)
    some = blocks.counts > 0
    found[some] = blocks.ids[place[some]]
    return found


def least_work(prompts: Prompts) -> FloatArray:
    """(n,) work of each job, in mean jobs, if all blocks of earlier ones were cached everywhere."""
    blocks = PromptBlocks(prompts.first, prompts.block)
    cached = np.minimum(blocks.leading(blocks.seen) * prompts.size, prompts.prompt - 1.0)
    tokens = np.column_stack((prompts.prompt - np.maximum(cached, 0.0), prompts.output))
    return np.asarray(tokens @ prompts.weight, np.float64)


def _require_size(trace: Trace, blocks: PromptBlocks, size: int) -> None:
    """Raise UsageError if the blocks of a trace cannot be of this size.

    A prompt's last block may be a part of one, or missing.
    """
    counts, prompts = blocks.counts, trace.prompt_tokens
    some = counts > 0
    most = np.ceil(prompts / size)
    many, few = counts > most, counts < np.floor(prompts / size)
    if not (many.any() or (some.any() and few[some].all())):
        return
    worst = int(np.argmax(many if many.any() else few & some))
    likely = int(np.ceil((prompts[some] / counts[some]).max()))
    raise UsageError(
        f"prefix_cache: block_size is {size}, and request {worst + 1} of trace {trace.name} has "
        f"{counts[worst]} blocks for {prompts[worst]:g} tokens; give the size of the trace's "
        f"blocks, which seems to be {likely}"
    )
