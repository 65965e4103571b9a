"""What a backend is, found out from its metrics page: by whatever it answers, and over its life."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from isocline.errors import UsageError
from isocline.gateway.health_checks import Poll, Record
from isocline.gateway.health_checks.polling import Polling
from isocline.gateway.health_checks.probe import Answer, NoAnswerError

REPORTS = Path(__file__).parents[1] / "load_reports/reports"
VLLM = (REPORTS / "vllm.txt").read_bytes()
SGLANG = (REPORTS / "sglang.txt").read_bytes()
TRTLLM = (REPORTS / "trtllm.txt").read_bytes()
RULE = Poll(every=2.0)


class Backend:
    """Answers as its `pages` say: (status, body) by path, or an error; all else is 404."""

    def __init__(self, **pages: tuple[int, bytes | None]) -> None:
        self.pages: dict[str, tuple[int, bytes | None]] = {f"/{k}": v for k, v in pages.items()}
        self.down = False
        self.asked: list[str] = []
        self.told: list[int] = []

    async def get(self, path: str) -> Answer:
        self.asked.append(path)
        if self.down:
            raise NoAnswerError("Connect: refused")
        status, body = self.pages.get(path, (404, b""))
        return Answer(status, body, 1.0)

    def polling(self, rule: Poll = RULE, record: Record | None = None, **more: bool) -> Polling:
        told = self.told
        return Polling(rule, "b", record or Record(), self.get, lambda n, _: told.append(n), **more)


def pauses(polling: Polling, times: int) -> list[float]:
    """What each of so many polls returns."""

    async def all_of_them() -> list[float]:
        return [await polling.poll() for _ in range(times)]

    return asyncio.run(all_of_them())


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it.getMessage() for it in caplog.records]


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "isocline.serve.watch")


def test_a_page_is_found_polled_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend(metrics=(200, VLLM))
    assert pauses(backend.polling(), 3) == [2.0] * 3
    assert (backend.told, backend.asked) == ([18] * 3, ["/metrics"] * 3)
    assert lines(caplog) == ["backend b: vLLM, polled every 2 s"]


def test_tensorrt_llm_has_its_page_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    """Its /metrics is a list of statistics that each reader takes away from the others."""
    backend = Backend(metrics=(200, b'[{"iter": 1}]'))
    backend.pages["/prometheus/metrics"] = 200, TRTLLM
    pauses(backend.polling(), 3)
    assert backend.told == [9] * 3
    assert backend.asked == ["/metrics", *["/prometheus/metrics"] * 3]
    assert lines(caplog) == ["backend b: TensorRT-LLM, polled every 2 s"]
    named = Backend()
    named.pages["/prometheus/metrics"] = 200, TRTLLM
    pauses(named.polling(replace(RULE, server="trtllm")), 1)
    assert (named.told, named.asked) == ([9], ["/prometheus/metrics"])


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ((404, b""), "/metrics: status 404"),
        ((501, b'{"error": "start it with --metrics"}'), "/metrics: status 501"),
        ((401, b""), "/metrics: status 401"),
        ((200, b"<html>"), "/metrics is not the page of a known server"),
        ((200, bytes(range(256)) * 99), "/metrics is not the page of a known server"),
        ((200, None), "/metrics has more than 1048576 bytes"),
    ],
)
def test_without_a_page_it_says_so_once_and_asks_ever_less_often(
    page: tuple[int, bytes | None], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Backend(metrics=page)
    polling = backend.polling()
    assert pauses(polling, 7) == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert backend.told == []
    assert lines(caplog) == [
        f"backend b: no metrics page ({problem}, /prometheus/metrics: status 404): "
        "own counts, and what responses say"
    ]
    backend.pages["/metrics"] = 200, SGLANG  # it was started anew, with a page
    assert pauses(polling, 2) == [2.0, 2.0]
    assert backend.told == [2988, 2988]
    assert lines(caplog)[-1] == "backend b: SGLang, polled every 2 s"


@pytest.mark.parametrize("page", [(502, b""), (503, b"loading"), (429, b"")])
def test_what_only_starts_is_asked_again_soon(page: tuple[int, bytes]) -> None:
    backend = Backend(metrics=page)
    polling = backend.polling()
    assert pauses(polling, 4) == [2.0] * 4
    backend.pages["/metrics"] = 200, VLLM
    pauses(polling, 1)
    assert backend.told == [18]


def test_one_that_was_down_may_come_back_as_another(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend(metrics=(200, VLLM))
    backend.down = True
    polling = backend.polling()
    assert pauses(polling, 2) == [2.0, 2.0]
    backend.down = False
    pauses(polling, 2)
    backend.down = True
    pauses(polling, 2)
    backend.down = False
    backend.pages["/metrics"] = 200, SGLANG
    pauses(polling, 2)
    assert backend.told == [18, 18, 2988, 2988]
    assert lines(caplog) == [
        "backend b: metrics: Connect: refused",
        "backend b: metrics: good again",
        "backend b: vLLM, polled every 2 s",
        "backend b: metrics: Connect: refused",
        "backend b: metrics: good again",
        "backend b: SGLang, polled every 2 s",
    ]


def test_another_server_on_the_same_connection_is_noticed() -> None:
    backend = Backend(metrics=(200, VLLM))
    polling = backend.polling()
    pauses(polling, 1)
    backend.pages["/metrics"] = 200, SGLANG
    pauses(polling, 2)
    assert backend.told == [18, 2988]


def test_a_wrong_name_is_an_error_that_says_what_the_page_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = Backend(metrics=(200, SGLANG))
    record = Record()
    pauses(backend.polling(replace(RULE, server="vllm"), record), 3)
    assert (backend.told, record.metrics.failed) == ([], 3)
    assert lines(caplog) == [
        "backend b: metrics: the page is that of SGLang, not of vLLM; give its name, or auto"
    ]


def test_a_reload_says_nothing_again_unless_the_file_says_something_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend, record = Backend(metrics=(200, VLLM)), Record()
    pauses(backend.polling(RULE, record), 1)
    pauses(backend.polling(RULE, record), 1)
    assert len(lines(caplog)) == 1
    pauses(backend.polling(replace(RULE, every=5.0), record), 1)
    assert lines(caplog)[1:] == ["backend b: vLLM, polled every 5 s"]


def test_of_several_workers_one_says_it(caplog: pytest.LogCaptureFixture) -> None:
    pauses(Backend(metrics=(200, VLLM)).polling(announces=False), 1)
    assert lines(caplog) == []


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="'vlm' is unknown; give auto, emulator, vllm, sglang"):
        Poll("vlm")
