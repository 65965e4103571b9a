"""Backends with prefix caches: a job's work depends on where it is sent.

At its arrival a job of a frontend would have, at the end of edge (f, b), the work
w_fb = prefill * (prompt tokens - those cached at b) + decode * output tokens. What is cached is the
longest run of blocks from the beginning of its prompt that b holds, but never the whole prompt: a
server reads at least one token of it. The blocks enter b's cache at the arrival. Policies see what
their frontend knows: of caches from an index of its own, of outputs by a mean or truly.

Frontends that see only their own jobs can still agree where a prompt is cached: all that have the
same prefix have one home, by weighted rendezvous hashing (Thaler and Ravishankar, 1998, with the
weights of Schindelhauer and Schomaker, 2005). Each frontend knows the share s that was cached of a
prompt in the mean of those that it sent home. A prompt that goes home saves s of itself, and, as
the next one like it finds it there, s of what that saves, and so on: s / (1 - s) in all. So each
sends there what others sent there before, unless it costs too much. The mean is of shares: by
tokens it was smaller and did worse.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.policies.routing.contract import (
    HELD,
    OUTPUT,
    PREFIX,
    PROMPT,
    UNCACHED,
    UNREAD,
    WORK,
    View,
)
from isocline.simulate.routing.kernels.lru import Lru, leading, use_all

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

# Entries of `Prompts.weight`; columns of `Caches.finished`, and of `Caches.at_home`.
PREFILL, DECODE = 0, 1
TOKENS, ANSWERS = 0, 1
SHARES, SENT = 0, 1
NO_HOME = -1  # in place of an edge
_LOW31 = 0x7FFFFFFF


class Prompts(NamedTuple):
    """Tokens of n jobs, in order of arrival. Made by the engine; read-only."""

    prompt: FloatArray  # (n,) float64, tokens
    output: FloatArray  # (n,) float64, tokens
    prefix: FloatArray  # (n,) float64, what `View.job` has as PREFIX
    first: npt.NDArray[np.int64]  # (n + 1,) int64, the blocks of job j are first[j] : first[j + 1]
    block: IntArray  # (k,) int32, numbers of blocks
    size: float  # tokens in a block
    weight: FloatArray  # (2,) float64, PREFILL and DECODE, mean jobs per token


class Caches(NamedTuple):
    """Caches, and what frontends know of them and of outputs. F frontends, E edges, n jobs."""

    # The blocks in the cache of each backend. Written by the kernel.
    held: Lru
    # The blocks that frontends take to be cached: a set for each edge, or `held` itself. Written
    # by the kernel.
    known: Lru
    # (E,) int32, the set of `known` that is of each edge. Read-only.
    of_edge: IntArray
    # Whether `known` is apart from `held`.
    apart: bool
    # Whether frontends know the number of output tokens of a job at its arrival.
    outputs: bool
    # (F, 2) float64, TOKENS and ANSWERS: sum of the output tokens of answers that have ended, and
    # their number, both 1 at the start. Written by the kernel.
    finished: FloatArray
    # (E,) float64, the share of prefixes that have their home at the end of each edge, relative to
    # others; 0 of all where frontends do not agree on homes. Read-only.
    homes: FloatArray
    # (F, 2) float64, SHARES and SENT: sum of the shares that were cached of the prompts that were
    # sent home and have been answered, and their number. Written by the kernel.
    at_home: FloatArray
    # (n,) int32, the edge to the home of each job, or NO_HOME. Written by the kernel, as all below.
    home: IntArray
    # (n,) int32, the edge by which each job was sent.
    edge: IntArray
    # (n,) float64, tokens of its prompt that were cached at its backend.
    cached: FloatArray
    # (n, 2) float64, what it adds to `View.tokens` while it is there.
    tokens: FloatArray


@kernel
def cached_tokens(prompts: Prompts, sets: Lru, which: int, job: int) -> float:
    """Tokens of a job's prompt that need not be read where a set of blocks is cached."""
    low, high = prompts.first[job], prompts.first[job + 1]
    blocks = leading(sets, which, prompts.block, low, high)
    return max(min(blocks * prompts.size, prompts.prompt[job] - 1.0), 0.0)  # type: ignore[no-any-return]


@kernel
def hashed(prefix: int, backend: int) -> float:
    """A number between 0 and 1 that looks random, the same wherever it is computed."""
    mixed = (prefix * 1000003 + backend * 7919 + 12345) & _LOW31
    for _ in range(3):
        mixed = ((mixed ^ (mixed >> 15)) * 1540483477) & _LOW31
    return ((mixed ^ (mixed >> 13)) + 0.5) / 2147483648.0


@kernel
def with_successors(share: float) -> float:
    """Share of a prompt that it saves to go home, with what its successors save; at most 1."""
    return share / max(1.0 - share, share)


@kernel
def home_of(view: View, prompts: Prompts, caches: Caches, job: int, low: int, high: int) -> int:
    """The edge, of low : high, to the home of a job; NO_HOME if it has none. Reads alone."""
    home, least = NO_HOME, np.inf
    if prompts.first[job] == prompts.first[job + 1]:
        return home
    prefix = int(prompts.prefix[job])
    for edge in range(low, high):
        if caches.homes[edge] > 0.0:
            # The least of exponential times: each wins in proportion to its rate.
            when = -np.log(hashed(prefix, view.backend[edge])) / caches.homes[edge]
            if when < least:
                home, least = edge, when
    return home


@kernel
def show(
    view: View, prompts: Prompts, caches: Caches, job: int, source: int, low: int, high: int
) -> None:
    """Write what frontend `source` knows of a job into `view.job`, and `view.work` of its edges.

    Writes `caches.home` of the job, too.
    """
    prompt = prompts.prompt[job]
    output = prompts.output[job]
    if not caches.outputs:
        output = caches.finished[source, TOKENS] / caches.finished[source, ANSWERS]
    view.job[PROMPT], view.job[OUTPUT], view.job[PREFIX] = prompt, output, prompts.prefix[job]
    written = prompts.weight[DECODE] * output
    home = home_of(view, prompts, caches, job, low, high)
    caches.home[job] = home
    for edge in range(low, high):
        cached = cached_tokens(prompts, caches.known, caches.of_edge[edge], job)
        if edge == home:
            share = with_successors(caches.at_home[source, SHARES] / caches.at_home[source, SENT])
            cached = max(cached, share * prompt)
        uncached = prompt - cached
        view.work[edge, UNCACHED] = uncached
        view.work[edge, WORK] = prompts.weight[PREFILL] * uncached + written


@kernel
def admit(view: View, prompts: Prompts, caches: Caches, job: int, edge: int) -> float:
    """Send a job by an edge: its work there, in mean jobs; its blocks are cached from now on.

    Writes `caches` and `view.tokens` of the backend.
    """
    backend = view.backend[edge]
    cached = cached_tokens(prompts, caches.held, backend, job)
    low, high = prompts.first[job], prompts.first[job + 1]
    use_all(caches.held, backend, prompts.block, low, high)
    if caches.apart:
        use_all(caches.known, caches.of_edge[edge], prompts.block, low, high)
    caches.edge[job] = edge
    caches.cached[job] = cached
    caches.tokens[job, UNREAD] = view.work[edge, UNCACHED]
    caches.tokens[job, HELD] = view.job[PROMPT] + view.job[OUTPUT]
    view.tokens[backend, UNREAD] += caches.tokens[job, UNREAD]
    view.tokens[backend, HELD] += caches.tokens[job, HELD]
    read = prompts.weight[PREFILL] * (prompts.prompt[job] - cached)
    return read + prompts.weight[DECODE] * prompts.output[job]  # type: ignore[no-any-return]


@kernel
def show_plain(view: View, low: int, high: int) -> None:
    """Show a job of the start, which has no prompt: `view.job`, and `view.work` of its edges."""
    view.job[:] = 0.0
    for edge in range(low, high):
        view.work[edge, UNCACHED] = 0.0
        view.work[edge, WORK] = 1.0


@kernel
def answered(prompts: Prompts, caches: Caches, job: int, source: int) -> None:
    """A job that frontend `source` sent is done: its answer has a length.

    Writes `finished` and `at_home` of `caches`.
    """
    caches.finished[source, TOKENS] += prompts.output[job]
    caches.finished[source, ANSWERS] += 1.0
    if caches.home[job] == caches.edge[job]:
        caches.at_home[source, SHARES] += caches.cached[job] / max(prompts.prompt[job], 1.0)
        caches.at_home[source, SENT] += 1.0


@kernel
def release(view: View, caches: Caches, job: int) -> None:
    """A job has left its backend, done or not. Writes `view.tokens` of the backend.

    `view.workload` is that after it left.
    """
    backend = view.backend[caches.edge[job]]
    if view.workload[backend] == 0:
        view.tokens[backend, :] = 0.0  # so that rounding does not add up
    else:
        view.tokens[backend, UNREAD] -= caches.tokens[job, UNREAD]
        view.tokens[backend, HELD] -= caches.tokens[job, HELD]
