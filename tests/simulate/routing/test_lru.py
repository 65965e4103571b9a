"""Least-recently-used sets beside an `OrderedDict`, step by step."""

from collections import OrderedDict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isocline.simulate.routing.kernels.lru import leading, lru, use_all

# Few numbers, so that they meet again; large ones, so that they collide in the slots.
NUMBERS = st.sampled_from([*range(12), 2**20, 2**24, 2**31 - 1])
PROMPTS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(NUMBERS, max_size=8, unique=True)), max_size=60
)


class Slow:
    """The same with one dictionary, the most recently used number last."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.held: OrderedDict[int, None] = OrderedDict()

    def leading(self, numbers: list[int]) -> int:
        count = 0
        for number in numbers:
            if number not in self.held:
                break
            count += 1
        return count

    def use(self, numbers: list[int]) -> None:
        for number in reversed(numbers[: self.capacity]):
            self.held[number] = None
            self.held.move_to_end(number)
            if len(self.held) > self.capacity:
                self.held.popitem(last=False)


@given(st.lists(st.integers(0, 9), min_size=3, max_size=3), PROMPTS)
def test_sets_hold_what_an_ordered_dictionary_holds(
    capacities: list[int], prompts: list[tuple[int, list[int]]]
) -> None:
    sets = lru(np.array(capacities, np.int64))
    slow = [Slow(capacity) for capacity in capacities]
    for which, prompt in prompts:
        numbers = np.array([-5, *prompt, -5], np.int32)
        for other in range(3):
            assert leading(sets, other, numbers, 1, 1 + len(prompt)) == slow[other].leading(prompt)
        use_all(sets, which, numbers, 1, 1 + len(prompt))
        slow[which].use(prompt)
        for number in range(12):
            one = np.array([number], np.int32)
            assert leading(sets, which, one, 0, 1) == (number in slow[which].held)


def test_a_large_set_holds_the_latest_numbers() -> None:
    capacity, came = 1_000, np.arange(50_000, dtype=np.int32)
    sets = lru(np.array([capacity], np.int64))
    for start in range(0, came.size, 100):
        use_all(sets, 0, came, start, start + 100)
    held = [leading(sets, 0, came, i, i + 1) == 1 for i in range(came.size)]
    assert np.flatnonzero(held).tolist() == came[-capacity:].tolist()
