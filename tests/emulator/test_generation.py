"""Tokens come as work is done: never early, never twice, all of them by the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.emulator.generation import Generation, Generations


class Heard(Generation):
    """Notes what it is told."""

    def __init__(self, work: float, prefill: float, tokens: int) -> None:
        super().__init__(work, prefill, tokens)
        self.told: list[int] = []
        self.ended = False

    def produced(self, tokens: int) -> None:
        assert not self.ended
        self.told.append(tokens)

    def finished(self) -> None:
        self.ended = True


def test_tokens_follow_prefill_evenly() -> None:
    server = Generations(lambda _: 10.0, None, 0.0)  # 10 tokens/s, whoever shares it
    one = Heard(work=6.0, prefill=2.0, tokens=4)
    server.admit(one)
    assert server.next_token() == pytest.approx(0.3)
    server.advance(0.29)
    assert one.told == []
    server.advance(0.31)
    assert one.told == [1]
    assert server.next_token() == pytest.approx(0.4)
    server.advance(0.55)
    assert (one.told, one.ended) == ([1, 3], False)
    server.advance(0.61)
    assert (one.told, one.ended) == ([1, 3], True)


request = st.tuples(st.floats(0.1, 50.0), st.floats(0.0, 0.99), st.integers(1, 40))


@given(
    st.lists(request, min_size=1, max_size=6),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30),
    st.integers(1, 4),
)
def test_each_hears_of_more_each_time_and_of_no_more_than_are_done(
    asked: list[tuple[float, float, int]], steps: list[float], most: int
) -> None:
    server = Generations(lambda jobs: 8.0 * jobs / (jobs + 1.0), most, 0.0)
    all_of_them = [Heard(work, share * work, tokens) for work, share, tokens in asked]
    now = 0.0
    for number, step in enumerate(steps):
        if number < len(all_of_them):
            server.admit(all_of_them[number])
        now += step
        server.advance(now)
        for one in all_of_them[: number + 1]:
            if not one.ended and one.start < float("inf"):
                done = (server.sharing.attained - one.start - one.prefill) / one.each
                told = one.told[-1] if one.told else 0
                assert told <= max(done, 0.0) + 1e-6
                assert told >= min(done, one.tokens - 1) - 1 - 1e-6
    admitted = all_of_them[: len(steps)]
    server.advance(1e6)
    for one in admitted:
        assert one.ended
        assert one.told == sorted(set(one.told))
        assert all(0 < tokens < one.tokens for tokens in one.told)


def test_one_that_left_hears_nothing_more() -> None:
    server = Generations(lambda _: 10.0, None, 0.0)
    one, other = Heard(10.0, 0.0, 10), Heard(10.0, 0.0, 10)
    server.admit(one)
    server.admit(other)
    server.advance(0.5)
    heard = list(one.told)
    server.sharing.withdraw(one)
    server.advance(10.0)
    assert (one.told, one.ended, other.ended) == (heard, False, True)
