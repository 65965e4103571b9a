"""Sweeps of emulated servers on virtual time: curves that are known, and times that are exact."""

import asyncio
from collections import Counter
from typing import final

import numpy as np
import numpy.typing as npt
import pytest

from isocline.emulator.faults import Faults
from isocline.emulator.generation import Generation
from isocline.emulator.settings import Settings
from isocline.errors import MeasureError
from isocline.loadgen import Schedule
from isocline.model.curves import Curve, HyperbolicCurve, KneeCurve, ServersCurve
from isocline.model.traffic import ExponentialSizes, Trace
from isocline.sweep import SweepResult, Visited
from isocline.sweep.decide import Why
from tests.emulator.in_memory import InMemory, emulating
from tests.loadgen.in_memory import answering
from tests.loadgen.servers import OK
from tests.sweep.sweeping import SIZES, asked, swept
from tests.virtual_time import run_virtually

KNEE = KneeCurve(40.0, 8.0, 3.0)


def now() -> float:
    return asyncio.get_running_loop().time()


def sweep_of(
    emulated: Settings, schedule: Schedule = SIZES, path: str = "", **options: object
) -> SweepResult:
    async def scenario() -> SweepResult:
        async with emulating(emulated) as server:
            return await swept(asked(f"http://127.0.0.1:{server.port}{path}", **options), schedule)

    return run_virtually(scenario())


def of_jobs(curve: Curve, **options: object) -> Settings:
    return Settings(curve, unit="jobs", **options)  # type: ignore[arg-type]


def test_equal_requests_give_the_curve_itself() -> None:
    result = sweep_of(of_jobs(KNEE), most=32, precision=0.1, limit=60.0)
    assert result.reached
    assert result.seconds < 60.0
    for point in result.curve.points:
        assert point.rate == pytest.approx(float(KNEE.rate(point.workload)), rel=2e-3)
        assert point.workload == pytest.approx(round(point.workload), rel=2e-3)


def test_intervals_hold_the_true_rates_of_random_requests() -> None:
    """12 sweeps of some 4 levels; of 50 independent ones 42 or fewer come once in 10^3."""
    curve = HyperbolicCurve(40.0, 6.0)
    held, within = [], []
    for seed in range(12):
        emulated = of_jobs(curve, sizes=ExponentialSizes(), seed=seed)
        result = sweep_of(emulated, most=16, precision=0.1, limit=30.0)
        for point in result.curve.points:
            true = float(curve.rate(point.workload))
            assert point.error is not None
            held.append(abs(point.rate - true) <= 1.96 * point.error)
            # Nothing of a higher workload before is left in the window.
            assert point.workload == pytest.approx(round(point.workload), abs=0.005)
            low, high = result.curve.interval(point.workload)
            within.append(low <= true and (high is None or true <= high))
    assert np.mean(held) >= 0.84
    assert np.mean(within) >= 0.84


def test_streams_and_chat_and_completions_are_measured_alike() -> None:
    rates = [
        sweep_of(of_jobs(KNEE), path=path, streams=streams, most=4, precision=0.1).curve.points
        for path in ("", "/v1/completions")
        for streams in (False, True)
    ]
    for points in rates:
        assert [point.rate for point in points] == pytest.approx(
            [point.rate for point in rates[0]], rel=1e-2
        )


@pytest.mark.parametrize("streams", [False, True])
def test_tokens_are_those_that_the_server_counts(streams: bool) -> None:
    """It does 1000 tokens/s for each request, whatever their number: 4 or 12 tokens."""
    sizes = np.array([4, 12] * 50)
    schedule = Schedule("two sizes", 1.0, np.zeros(100), np.full(100, 20), sizes)
    emulated = Settings(ServersCurve(1000.0, 1000))
    result = sweep_of(emulated, schedule, unit="tokens", streams=streams, most=4, precision=0.2)
    assert result.curve.unit == "tokens"
    for point in result.curve.points:
        assert point.rate == pytest.approx(1000.0 * point.workload, rel=0.02)
    assert result.output_tokens == pytest.approx(8.0, rel=0.05)
    assert result.curve.mean_work == result.output_tokens
    assert result.prompt_tokens == pytest.approx(20.0)


def test_a_plain_backend_is_measured_with_get() -> None:
    """It answers 0.1 s later, however many ask."""

    async def later(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(OK)

    async def scenario() -> SweepResult:
        async with answering(later) as port:
            settings = asked(f"http://127.0.0.1:{port}/any", model="", most=1, precision=0.1)
            return await swept(settings)

    result = run_virtually(scenario())
    assert [point.rate for point in result.curve.points] == pytest.approx([10.0], rel=5e-3)
    assert result.model == ""


def test_the_peak_is_found_and_what_is_past_it_cut() -> None:
    """Up to 30/s at 12 jobs, then down to 15/s at 48."""

    @final
    class Falling:
        """What no service curve may be, and servers are."""

        def rate(self, n: npt.ArrayLike) -> npt.NDArray[np.float64]:
            at, rates = (0, 1, 4, 12, 48, 200), (0.0, 5.0, 17.0, 30.0, 15.0, 14.0)
            return np.asarray(np.interp(np.asarray(n, dtype=np.float64), at, rates))

    result = sweep_of(of_jobs(Falling()), most=200, precision=0.05, limit=300.0)  # type: ignore[arg-type]
    assert result.curve.peak is not None
    assert 9.0 <= result.curve.peak.workload <= 17.0
    assert result.curve.peak.rate == pytest.approx(30.0, rel=0.08)
    assert result.curve.cut
    assert max(one.workload for one in result.visits) <= 64


def test_a_client_too_many_that_is_throttled_is_enough_for_a_workload_not_to_count() -> None:
    """6 are served at a time, in 20 ms each: of 7 clients' requests 3 % are refused."""
    served = [0]

    async def answer(writer: asyncio.StreamWriter) -> None:
        if served[0] == 6:
            writer.write(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n")
            return
        served[0] += 1
        await asyncio.sleep(0.02)
        served[0] -= 1
        writer.write(OK)

    async def scenario() -> SweepResult:
        async with answering(answer) as port:
            settings = asked(f"http://127.0.0.1:{port}/any", most=7, precision=0.01, limit=60.0)
            result = await swept(settings)
            await asyncio.sleep(0.1)  # until what was abandoned is over, too
            return result

    result = run_virtually(scenario())
    visits = {visit.workload: visit for visit in result.visits}
    assert "the server throttles" in visits[7].trouble
    assert visits[7].failures == {"status 429": 2}  # it is not asked further
    assert max(round(point.workload) for point in result.curve.points) < 7


def test_the_limit_is_kept_to_the_moment() -> None:
    for limit in (8.0, 12.5, 20.0):
        slow = of_jobs(HyperbolicCurve(8.0, 6.0), sizes=ExponentialSizes())
        result = sweep_of(slow, most=64, precision=0.01, limit=limit)
        assert result.seconds <= limit + 1e-6
        assert result.stopped.why is Why.LIMIT


def test_a_level_that_hangs_is_cut_at_the_limit_and_what_was_measured_stays() -> None:
    async def scenario() -> SweepResult:
        async with emulating(of_jobs(KNEE)) as server:

            def hang(visit: Visited, _: float) -> None:
                if visit.workload == 4:
                    server.engine.set_faults(Faults(hang=1.0))

            settings = asked(
                f"http://127.0.0.1:{server.port}", most=32, precision=0.01, limit=30.0, timeout=60.0
            )
            return await swept(settings, report=hang)

    result = run_virtually(scenario())
    assert result.seconds <= 30.0 + 1e-6
    assert [round(point.workload) for point in result.curve.points] == [1, 4]
    assert any(visit.trouble for visit in result.visits)


def test_a_request_that_takes_too_long_for_a_sweep_is_said_at_once() -> None:
    """Alone it takes 4 s; three levels take 15 times that."""
    took = []

    async def scenario() -> None:
        async with emulating(of_jobs(ServersCurve(0.25, 100))) as server:
            try:
                await swept(asked(f"http://127.0.0.1:{server.port}", limit=30.0))
            finally:
                took.append(now())

    says = r"one request alone takes 4 s, and a sweep at least 68 s; give a longer --limit than 30"
    with pytest.raises(MeasureError, match=says):
        run_virtually(scenario())
    assert took == [pytest.approx(8.0)]


def test_a_server_that_hangs_from_the_start_ends_at_the_limit() -> None:
    emulated = of_jobs(KNEE, faults=Faults(hang=1.0))
    with pytest.raises(MeasureError, match="no answer in time"):
        sweep_of(emulated, limit=5.0)


def test_a_few_failures_do_not_spoil_a_level_and_are_told() -> None:
    emulated = of_jobs(KNEE, faults=Faults(error=0.02), seed=3)
    result = sweep_of(emulated, most=4, precision=0.2, limit=60.0)
    assert {visit.workload for visit in result.visits} == {
        1,
        4,
        *(v.workload for v in result.visits),
    }
    assert all(not visit.trouble for visit in result.visits)
    for point in result.curve.points:
        assert point.rate == pytest.approx(float(KNEE.rate(point.workload)), rel=0.05)


def test_the_one_model_that_is_listed_is_asked_for() -> None:
    emulated = of_jobs(KNEE, models=("llama",))
    assert sweep_of(emulated, model="", most=1).model == "llama"
    assert sweep_of(emulated, model="", path="/v1", most=1).model == "llama"
    assert sweep_of(emulated, model="", path="/v1/completions", most=1).model == "llama"


def test_several_models_are_named() -> None:
    emulated = of_jobs(KNEE, models=("base", "adapter"))
    with pytest.raises(
        MeasureError, match="lists 2 models; give --model with one of: base, adapte"
    ):
        sweep_of(emulated, model="")


def test_a_model_that_is_not_there_gets_the_servers_own_words() -> None:
    emulated = of_jobs(KNEE, models=("base",))
    with pytest.raises(
        MeasureError, match=r"status 404: .*the model 'm' does not exist.*[^.]\. Is the path"
    ):
        sweep_of(emulated)


def test_no_text_comes_twice_and_sizes_are_those_of_the_trace() -> None:
    """So that no prefix cache helps; a second sweep has other texts again."""
    seen: list[Counter[str]] = []
    for _ in range(2):
        prompts: Counter[str] = Counter()

        async def scenario(prompts: Counter[str] = prompts) -> None:
            async with emulating(of_jobs(KNEE)) as server:
                _noting(server, prompts)
                trace = Trace(
                    "t", np.arange(3.0), np.array([8.0, 40.0, 9.0]), np.array([2.0, 1, 3])
                )
                settings = asked(f"http://127.0.0.1:{server.port}", most=4, precision=0.2)
                await swept(settings, Schedule.of_trace(trace).shuffled(0))

        run_virtually(scenario())
        seen.append(prompts)
    for prompts in seen:
        assert max(prompts.values()) == 1
        assert {len(text) // 4 for text in prompts} == {8, 40, 9}
    assert not seen[0].keys() & seen[1].keys()


def _noting(server: InMemory, prompts: Counter[str]) -> None:
    """Have the prompts counted that a server reads."""
    read = server.engine.read

    def noting(completion):  # type: ignore[no-untyped-def]
        prompts[completion.prompt[0]["content"]] += 1
        return read(completion)

    server.engine.read = noting  # type: ignore[method-assign]


def test_requests_are_never_more_than_the_level() -> None:
    async def scenario() -> None:
        async with emulating(of_jobs(KNEE)) as server:
            most = [0]
            admit = server.engine.submit

            def submit(generation: Generation) -> None:
                admit(generation)
                most.append(server.engine.sharing.running)

            server.engine.submit = submit  # type: ignore[method-assign]
            visited: list[tuple[int, int]] = []

            def report(visit: Visited, _: float) -> None:
                visited.append((visit.workload, max(most)))
                most.clear()
                most.append(0)

            settings = asked(f"http://127.0.0.1:{server.port}", most=20, precision=0.1, limit=60.0)
            await swept(settings, report=report)
        above = 1
        for workload, highest in visited:
            assert highest <= max(workload, above)  # those of the level before end first
            above = workload
        assert any(workload == highest for workload, highest in visited)

    run_virtually(scenario())
