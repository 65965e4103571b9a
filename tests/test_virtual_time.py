"""Time on a virtual loop: exact, in order, and over at once."""

import asyncio

import pytest

from tests.virtual_time import LoopClock, run_virtually


def test_timers_ring_in_order_and_exactly_when_they_are_due() -> None:
    async def scenario() -> list[tuple[str, float]]:
        clock = LoopClock()
        begin, seen = clock.now(), []

        async def sleep(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, clock.now() - begin))

        alarm = clock.alarm(lambda: seen.append(("alarm", clock.now() - begin)))
        alarm.set(begin + 5.0)
        alarm.set(begin + 1800.0)  # in place of the one before
        await asyncio.gather(sleep("day", 86_400.0), sleep("minute", 60.0), sleep("now", 0.0))
        return seen

    seen = run_virtually(scenario())
    assert [name for name, _ in seen] == ["now", "minute", "alarm", "day"]
    assert [at for _, at in seen] == pytest.approx([0.0, 60.0, 1800.0, 86_400.0])


def test_what_can_never_happen_is_given_up_at_once() -> None:
    async def scenario() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError):
        run_virtually(scenario())
