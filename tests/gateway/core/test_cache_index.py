"""Knowledge of caches by their events, against a server's pool of blocks that publishes them."""

from collections import OrderedDict
from itertools import count

from hypothesis import example, given
from hypothesis import strategies as st

from isocline.gateway.core.cache_index import (
    CacheEvent,
    CacheIndex,
    Cleared,
    Removed,
    Stored,
    token_blocks,
)
from isocline.gateway.core.prefix_caches import PrefixCaches

SIZE, BLOCKS, ALL = 2, 6, 10**6
# Prompts of up to 4 blocks that often begin alike.
PROMPTS = st.lists(st.integers(0, 1), min_size=1, max_size=9).map(tuple)
# Start a prompt (seen by this router, or by another one), or end a request, or clear the cache.
STEPS = st.lists(st.one_of(st.tuples(PROMPTS, st.booleans()), st.integers(0, 5), st.none()))

Prompt = tuple[int, ...]


class Server:
    """Blocks of a server as vLLM keeps them: one queue of those that no request uses.

    A request takes the cached blocks of its prompt out of it, and new ones from its head; at its
    end all go to the tail, the last one of the prompt first.
    """

    def __init__(self) -> None:
        self.free: OrderedDict[int, None] = OrderedDict.fromkeys(range(BLOCKS))
        self.users = [0] * BLOCKS
        self.hash_of: dict[int, int] = {}
        self.block_of: dict[int, int] = {}
        self.running: list[list[int]] = []
        self.events: list[CacheEvent] = []
        self.salt = count(1000)

    def chain(self, prompt: Prompt) -> list[int]:
        """Hashes of its whole blocks, in the server's own way."""
        ends = range(SIZE, len(prompt) + 1, SIZE)
        return [hash(("the server's", prompt[:end])) for end in ends]

    def cached(self, prompt: Prompt) -> int:
        chain = self.chain(prompt)
        return next((i for i, it in enumerate(chain) if it not in self.block_of), len(chain))

    def start(self, prompt: Prompt) -> bool:
        chain, hits = self.chain(prompt), self.cached(prompt)
        held = [self.block_of[it] for it in chain[:hits]]
        free = [block for block in self.free if block not in held]
        needed = -(-len(prompt) // SIZE) - hits
        if needed > len(free):
            return False
        for block in held:
            self.free.pop(block, None)
        fresh = free[:needed]
        for block in fresh:
            del self.free[block]
            if block in self.hash_of:
                old = self.hash_of.pop(block)
                del self.block_of[old]
                self.events.append(Removed((old,)))
        for block in (*held, *fresh):
            self.users[block] += 1
        self.running.append([*held, *fresh])
        new = chain[hits:]
        for block, one in zip(fresh, new, strict=False):
            self.hash_of[block], self.block_of[one] = one, block
        if new:
            tokens = prompt[hits * SIZE : len(chain) * SIZE]
            parent = chain[hits - 1] if hits else None
            self.events.append(Stored(tuple(new), parent, tokens, SIZE))
        return True

    def end(self, which: int) -> None:
        for block in reversed(self.running.pop(which)):
            self.users[block] -= 1
            if not self.users[block]:
                self.free[block] = None

    def clear(self) -> bool:
        if self.running:
            return False
        self.hash_of.clear()
        self.block_of.clear()
        self.events.append(Cleared())
        return True

    def take_events(self) -> list[CacheEvent]:
        events, self.events = self.events, []
        return events


def text_blocks(prompt: Prompt) -> list[int]:
    """Numbers of blocks as the router has them of a text that stands for these tokens."""
    return [hash(("text", prompt[: (i + 1) * SIZE])) for i in range(len(prompt) // SIZE)]


class Router:
    """What the core does with an index."""

    def __init__(self) -> None:
        self.predicted = PrefixCaches([ALL])
        self.index = CacheIndex(self.predicted, SIZE, [1])
        self.running: list[int | None] = []
        self.messages = count()

    def start(self, prompt: Prompt, mine: bool) -> None:
        use = None
        if mine:
            self.predicted.hold(0, text_blocks(prompt))
            use = self.index.sent(0)
        self.running.append(use)

    def end(self, which: int) -> None:
        use = self.running.pop(which)
        if use is not None:
            self.index.left(0, use)

    def hear(self, events: list[CacheEvent]) -> None:
        self.index.received(0, 0, next(self.messages), events)


@given(STEPS)
@example([((0,) * 8, True), 0, ((1,) * 8, True), 0, ((0, 1) * 4, True)])
def test_of_tokens_all_is_known_and_of_text_only_what_is_gone_is_dropped(
    steps: list[tuple[Prompt, bool] | int | None],
) -> None:
    server, router = Server(), Router()
    prompts: list[tuple[Prompt, bool]] = []
    for step in steps:
        if step is None:
            server.clear()
        elif isinstance(step, int):
            if step < len(server.running):
                server.end(step)
                router.end(step)
        elif server.start(step[0]):
            router.start(*step)
            prompts.append(step)
        router.hear(server.take_events())
        assert router.index.is_complete(0)
        others = {end for one, mine in prompts if not mine for end in text_blocks(one)}
        for prompt, _ in prompts:
            blocks = token_blocks(prompt, SIZE)
            assert router.index.hits(blocks, [0]) == [server.cached(prompt)]
            # What others have used since may be there all the same.
            if (prompt, True) in prompts and not others.intersection(text_blocks(prompt)):
                (warm,) = router.predicted.hits(text_blocks(prompt), [0])
                assert warm >= server.cached(prompt)


def test_what_other_routers_send_pushes_out_what_this_one_sent() -> None:
    server, router = Server(), Router()
    mine = (0,) * 8
    warm: list[tuple[int, int]] = []
    for prompt in (mine, (1,) * 8, (0, 1) * 4):
        assert server.start(prompt)
        router.start(prompt, prompt == mine)
        router.hear(server.take_events())
        server.end(0)
        router.end(0)
        (known,) = router.predicted.hits(text_blocks(mine), [0])
        warm.append((server.cached(mine), known))
    # Of one request the last block goes first, and which one went cannot be seen.
    assert warm == [(4, 4), (2, 4), (0, 0)]


def test_missing_messages_and_restarts() -> None:
    router = Router()
    one = Stored((1,), None, (7, 7), SIZE)
    blocks = token_blocks((7, 7), SIZE)

    def known() -> tuple[float, bool]:
        return router.index.hits(blocks, [0])[0], router.index.is_complete(0)

    router.index.received(0, 0, 41, [one])  # of a server that has run for long
    assert known() == (1, False)
    router.index.received(0, 0, 43, [])  # 42 is missing, and may have removed it
    assert known() == (0, False)
    router.predicted.hold(0, [5])
    router.index.received(0, 0, 3, [one])  # it has started again, and 0 to 2 are missing
    assert known() == (1, False)
    assert router.predicted.hits([5], [0]) == [0]
    router.index.received(0, 0, 4, [Cleared(), one])
    assert known() == (1, True)
    router.predicted.hold(0, [5])
    router.index.sent(0)
    router.index.received(0, 0, 0, [one])
    assert known() == (1, True)
    assert router.predicted.hits([5], [0]) == [1]  # under way: its events are to come
    router.index.lost(0)
    assert known() == (0, False)


def test_blocks_of_another_size_or_without_their_tokens_say_only_what_is_gone() -> None:
    router = Router()
    router.index.received(
        0,
        0,
        0,
        [
            Stored((1,), None, (7, 7, 7), SIZE + 1),
            Stored((2,), None, (), SIZE),
            Stored((3,), 2, (7, 7), SIZE),
            Stored((4,), 99, (7, 7), SIZE),
        ],
    )
    assert router.index.hits(token_blocks((7, 7), SIZE), [0]) == [0]
    router.predicted.hold(0, [5])
    use = router.index.sent(0)
    router.index.left(0, use)
    router.index.received(0, 0, 1, [Stored((6,), None, (), SIZE), Removed((3, 4, 1000))])
    assert router.predicted.hits([5], [0]) == [1]  # used after 3 and 4 were stored
    router.index.received(0, 0, 2, [Removed((6,))])
    assert router.predicted.hits([5], [0]) == [0]


def test_what_is_there_lasts_through_a_reload() -> None:
    before, after = Router(), Router()
    before.index.received(0, 0, 0, [Stored((1,), None, (7, 7), SIZE)])
    after.predicted.hold(0, [5])
    after.index.take_over(before.index, {0: 0})
    blocks = token_blocks((7, 7, 8, 8), SIZE)
    assert after.index.hits(blocks, [0]) == [1]
    after.index.received(0, 0, 1, [Stored((2,), 1, (8, 8), SIZE)])
    assert after.index.hits(blocks, [0]) == [2]
    assert after.index.is_complete(0)
    after.index.received(0, 0, 2, [Removed((1,))])
    assert after.index.hits(blocks, [0]) == [0]
    assert after.predicted.hits([5], [0]) == [1]


def test_ranks_have_caches_of_their_own_of_which_the_mean_counts() -> None:
    predicted = PrefixCaches([ALL, ALL])
    index = CacheIndex(predicted, SIZE, [2, 1])
    blocks = token_blocks((7, 7, 8, 8), SIZE)
    both = Stored((1, 2), None, (7, 7, 8, 8), SIZE)
    index.received(0, 0, 0, [both])
    index.received(1, 0, 0, [Stored((1,), None, (7, 7), SIZE)])
    assert index.hits(blocks, [0, 1]) == [1, 1]
    assert [index.is_complete(b) for b in (0, 1)] == [False, True]
    index.received(0, 1, 0, [both])
    assert index.hits(blocks, [1, 0]) == [1, 2]
    assert index.is_complete(0)
    # What one rank drops, another may have used since: of text it says nothing.
    predicted.hold(0, [5])
    index.received(0, 1, 1, [Removed((1, 2))])
    assert index.hits(blocks, [0]) == [1]
    assert predicted.hits([5], [0]) == [1]
    assert [index.message_expected(0, rank) for rank in (0, 1)] == [1, 2]
    index.lost(0)
    assert index.hits(blocks, [0, 1]) == [0, 1]


def test_ranks_last_through_a_reload_where_they_are_as_many() -> None:
    before = CacheIndex(PrefixCaches([ALL]), SIZE, [2])
    before.received(0, 1, 0, [Stored((1,), None, (7, 7), SIZE)])
    for ranks, there in ((2, 0.5), (3, 0.0)):
        after = CacheIndex(PrefixCaches([ALL]), SIZE, [ranks])
        after.take_over(before, {0: 0})
        assert after.hits(token_blocks((7, 7), SIZE), [0]) == [there]
