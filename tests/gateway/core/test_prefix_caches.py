"""Predicted prefix caches against a slow twin, and what they hold at most."""

from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.core.prefix_caches import PrefixCaches

CAPACITIES = (0, 1, 3, 8, 1000)
# Paths in a tree: the number of a block stands for all before it, too.
PROMPTS = st.lists(st.integers(0, 2), max_size=6).map(
    lambda turns: tuple(hash(tuple(turns[: i + 1])) for i in range(len(turns)))
)


class Twin:
    """A list for each backend, the block that was used last at its end."""

    def __init__(self) -> None:
        self.held: list[list[int]] = [[] for _ in CAPACITIES]

    def hits(self, blocks: tuple[int, ...], backend: int) -> int:
        count = 0
        while count < len(blocks) and blocks[count] in self.held[backend]:
            count += 1
        return count

    def hold(self, backend: int, blocks: tuple[int, ...]) -> None:
        held = self.held[backend]
        for block in blocks[: CAPACITIES[backend]][::-1]:
            if block in held:
                held.remove(block)
            held.append(block)
        del held[: max(len(held) - CAPACITIES[backend], 0)]


@given(st.lists(st.tuples(st.integers(0, len(CAPACITIES) - 1), PROMPTS, st.booleans())))
def test_it_is_an_lru_of_blocks_at_each_backend(
    steps: list[tuple[int, tuple[int, ...], bool]],
) -> None:
    caches, twin = PrefixCaches(CAPACITIES), Twin()
    everywhere = list(range(len(CAPACITIES)))
    for backend, prompt, lost in steps:
        if lost:
            caches.drop(backend)
            twin.held[backend] = []
        else:
            caches.hold(backend, prompt)
            twin.hold(backend, prompt)
        for blocks in {one for _, one, _ in steps}:
            expected = [twin.hits(blocks, b) for b in everywhere]
            assert caches.hits(blocks, everywhere) == expected
            assert caches.hits(blocks, [3, 1]) == [expected[3], expected[1]]
        assert [caches.size(b) for b in everywhere] == [len(held) for held in twin.held]


def test_of_one_prompt_the_end_goes_first() -> None:
    caches = PrefixCaches([4])
    caches.hold(0, (1, 2, 3))
    caches.hold(0, (7, 8))
    assert caches.hits((1, 2, 3), [0]) == [2]
