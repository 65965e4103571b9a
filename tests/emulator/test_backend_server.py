"""`isocline backend` over real sockets, seen by clients that are not ours."""

import http.client
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.emulator.running import emulated

PATIENCE = 60.0  # s for what takes a moment where the machine is idle
MESSAGES: Any = [{"role": "user", "content": "twelve chars"}]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with emulated() as found:
        yield found


@pytest.fixture(scope="module")
def slow_address() -> Iterator[str]:
    """Two tokens every 20 ms in all, whoever shares them; a prompt token is a tenth of a token."""
    with emulated("--prefill", "0.1", curve="{type: servers, rate: 100, count: 1}") as found:
        yield found


def client(address: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=PATIENCE, **options
    )


def call(
    address: str, method: str, path: str, body: object = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    data = body if isinstance(body, str | bytes | None) else json.dumps(body)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, data, names)
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer, read


def ask(address: str, body: dict[str, object] | None = None, **headers: str) -> Any:
    body = {"model": "m", "prompt": "hello"} | (body or {})
    answer, read = call(address, "POST", "/v1/completions", body, **headers)
    return answer, json.loads(read)


def raw(address: str, data: bytes, end: bytes | None = None) -> bytes:
    """What comes back for these bytes until the server closes, or until `end` has come."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        back = b""
        with suppress(ConnectionError):  # it need not read what is too long
            connection.sendall(data)
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                back += piece
                if end is not None and back.endswith(end):
                    break
    return back


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def metric(address: str, name: str, **labels: str) -> float:
    _, text = call(address, "GET", "/metrics")
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    raise AssertionError(name)


class TestOpenAI:
    def test_a_chat_is_answered_whole(self, address: str) -> None:
        with client(address) as ai:
            answer = ai.chat.completions.create(model="any", messages=MESSAGES, max_tokens=7)
        assert answer.choices[0].message.content == " token" * 7
        assert answer.choices[0].finish_reason == "length"
        assert answer.model == "any"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 7)

    def test_a_chat_is_streamed_token_by_token(self, slow_address: str) -> None:
        with client(slow_address) as ai:
            stream = ai.chat.completions.create(
                model="any",
                messages=MESSAGES,
                max_tokens=20,
                stream=True,
                stream_options={"include_usage": True},
            )
            seen = list(stream)
        choices = [part.choices[0] for part in seen if part.choices]
        assert choices[0].delta.role == "assistant"
        assert [c.delta.content for c in choices if c.delta.content] == [" token"] * 20
        assert [c.finish_reason for c in choices if c.finish_reason] == ["length"]
        usage = seen[-1].usage
        assert usage is not None
        assert usage.total_tokens == 23

    def test_completions_are_answered_and_streamed(self, address: str) -> None:
        with client(address) as ai:
            whole = ai.completions.create(model="m", prompt=[1, 2, 3, 4])
            stream = ai.completions.create(model="m", prompt="x", max_tokens=3, stream=True)
            texts = [part.choices[0].text for part in stream]
        assert whole.choices[0].text == " token" * 16  # the default
        assert whole.usage is not None
        assert whole.usage.prompt_tokens == 4
        assert "".join(texts) == " token" * 3

    def test_models_are_listed_and_others_refused(self) -> None:
        names = ["llama", "llama-sql"]
        options = [it for name in names for it in ("--model", name)]
        with emulated(*options) as address, client(address) as ai:
            assert [model.id for model in ai.models.list()] == names
            for name in names:
                assert ai.completions.create(model=name, prompt="x").model == name
            with pytest.raises(openai.NotFoundError, match="'gpt' does not exist"):
                ai.completions.create(model="gpt", prompt="x")

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ("{", "not JSON"),
            ("[]", "not a JSON object"),
            ({"prompt": "x"}, "model"),
            ({"model": "m"}, "prompt"),
            ({"model": "m", "prompt": "x", "max_tokens": 0}, "max_tokens"),
            ({"model": "m", "prompt": "x", "max_tokens": True}, "max_tokens"),
            ({"model": "m", "prompt": "x", "max_tokens": 10**9}, "context is 131072"),
            ({"model": "m", "prompt": "x", "n": 2}, "n: "),
            ({"model": "m", "prompt": "x", "stream": "yes"}, "stream"),
        ],
    )
    def test_a_bad_request_is_told_why(self, address: str, body: object, problem: str) -> None:
        answer, read = call(address, "POST", "/v1/completions", body)
        assert answer.status == 400
        assert problem in json.loads(read)["error"]["message"]


class TestHttp:
    def test_health_and_head(self, address: str) -> None:
        assert call(address, "GET", "/health")[0].status == 200
        answer, read = call(address, "HEAD", "/v1/models")
        assert (answer.status, read) == (200, b"")
        assert int(answer.headers["content-length"]) > 0

    def test_unknown_paths_and_methods(self, address: str) -> None:
        assert call(address, "GET", "/nothing")[0].status == 404
        answer, _ = call(address, "DELETE", "/health")
        assert (answer.status, answer.headers["allow"]) == (405, "GET")

    def test_pipelined_requests_are_answered_in_order(self, slow_address: str) -> None:
        body = json.dumps({"model": "m", "prompt": "x", "max_tokens": 4}).encode()
        post = b"POST /v1/completions HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s"
        get = b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n"
        models = b"GET /v1/models HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
        back = raw(slow_address, post % (len(body), body) + get * 30 + models)
        assert back.count(b"HTTP/1.1 200 OK") == 32
        assert back.index(b"text_completion") < back.index(b"content-length: 0")
        assert back.endswith(b'"owned_by":"isocline"}]}')

    def test_http_1_0_streams_end_with_the_connection(self, address: str) -> None:
        body = json.dumps({"model": "m", "prompt": "x", "max_tokens": 2, "stream": True}).encode()
        head = b"POST /v1/completions HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: %d\r\n"
        back = raw(address, head % len(body) + b"\r\n" + body)
        assert b"transfer-encoding" not in back
        assert b"connection: close" in back
        assert back.endswith(b"data: [DONE]\n\n")

    def test_100_continue(self, address: str) -> None:
        head = (
            b"POST /faults HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
        )
        assert raw(address, head, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"nonsense\r\n\r\n", 400),
            (b"GET /health HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
            (b"POST /faults HTTP/1.1\r\ncontent-length: 20000000\r\n\r\n" + b" " * 17_000_000, 413),
        ],
    )
    def test_what_is_no_request_is_refused(self, address: str, sent: bytes, status: int) -> None:
        back = raw(address, sent)
        assert back.startswith(b"HTTP/1.1 %d" % status)

    def test_a_client_that_goes_away_frees_its_place(self, slow_address: str) -> None:
        before = metric(slow_address, "vllm:request_success_total", finished_reason="abort")
        body = json.dumps({"model": "m", "prompt": "x", "max_tokens": 5000, "stream": True})
        connection = http.client.HTTPConnection(slow_address, timeout=PATIENCE)
        connection.request("POST", "/v1/completions", body)
        answer = connection.getresponse()
        answer.readline()
        assert metric(slow_address, "vllm:num_requests_running") == 1
        answer.close()
        connection.close()
        until(lambda: metric(slow_address, "vllm:num_requests_running") == 0)
        after = metric(slow_address, "vllm:request_success_total", finished_reason="abort")
        assert after == before + 1


class TestLoadReports:
    def test_metrics_have_vllms_names_and_labels(self) -> None:
        with emulated("--model", "llama") as address:
            for _ in range(3):
                ask(address, {"model": "llama", "max_tokens": 5})
            labels = {"model_name": "llama", "engine": "0"}
            assert metric(address, "vllm:generation_tokens_total", **labels) == 15
            assert metric(address, "vllm:prompt_tokens_total", **labels) == 6
            assert metric(address, "vllm:request_success_total", finished_reason="length") == 3
            assert metric(address, "vllm:num_requests_running", **labels) == 0
            assert metric(address, "vllm:e2e_request_latency_seconds_count", **labels) == 3

    def test_running_and_waiting_are_told_apart(self) -> None:
        curve = "{type: servers, rate: 100, count: 1}"
        with emulated("--orca-counts", "all", "--max-num-seqs", "2", curve=curve) as address:
            body = json.dumps({"model": "m", "prompt": "x", "max_tokens": 100_000})
            waiting = [http.client.HTTPConnection(address, timeout=PATIENCE) for _ in range(5)]
            for connection in waiting:
                connection.request("POST", "/v1/completions", body)
            until(lambda: metric(address, "vllm:num_requests_waiting") == 3)
            assert metric(address, "vllm:num_requests_running") == 2
            answer, _ = call(address, "GET", "/health", endpoint_load_metrics_format="JSON")
            form, _, report = answer.headers["endpoint-load-metrics"].partition(" ")
            assert form == "JSON"
            counts = {"num_requests_running": 2, "num_requests_waiting": 3}
            assert json.loads(report) == {"named_metrics": counts}
            for connection in waiting:
                connection.close()

    def test_load_reports_are_those_of_vllm(self, address: str) -> None:
        """vLLM 0.32: for who asks, without what runs, and not of streams."""
        asked: dict[str, Any] = {"endpoint_load_metrics_format": "TEXT"}
        assert ask(address, **asked)[0].headers["endpoint-load-metrics"] == (
            "TEXT named_metrics.num_requests_waiting=0.0, named_metrics.kv_cache_usage_perc=0.0"
        )
        body = {"model": "m", "prompt": "hello", "stream": True}
        stream, _ = call(address, "POST", "/v1/completions", body, **asked)
        health, _ = call(address, "GET", "/health", **asked)
        for answer in (stream, health, ask(address)[0]):
            assert "endpoint-load-metrics" not in answer.headers

    def test_a_load_report_may_say_all(self) -> None:
        with emulated("--orca", "text", "--orca-counts", "all") as address:
            stream, _ = call(
                address, "POST", "/v1/completions", {"model": "m", "prompt": "h", "stream": True}
            )
            assert stream.headers["endpoint-load-metrics"] == (
                "TEXT named_metrics.num_requests_running=1.0, "
                "named_metrics.num_requests_waiting=0.0"
            )


class TestFaults:
    @pytest.fixture
    def faulty(self, address: str) -> Iterator[str]:
        yield address
        none = {"slow": 1.0, "hang": 0.0, "reset": 0.0, "garbage": 0.0, "error": 0.0, "sick": False}
        assert json.loads(call(address, "POST", "/faults", none)[1]).items() >= none.items()

    def test_errors(self, faulty: str) -> None:
        call(faulty, "POST", "/faults", {"error": 0.5})
        statuses = [ask(faulty)[0].status for _ in range(60)]
        assert 10 < statuses.count(500) < 50  # of 60; beyond 5 standard deviations of 3.9
        assert set(statuses) == {200, 500}

    def test_hang(self, faulty: str) -> None:
        call(faulty, "POST", "/faults", {"hang": 1.0})
        with client(faulty) as ai, pytest.raises(openai.APITimeoutError):
            ai.with_options(timeout=0.3).completions.create(model="m", prompt="x")
        assert call(faulty, "GET", "/health")[0].status == 200

    def test_sick(self, faulty: str) -> None:
        call(faulty, "POST", "/faults", {"sick": True})
        assert call(faulty, "GET", "/health")[0].status == 503

    def test_garbage(self, faulty: str) -> None:
        call(faulty, "POST", "/faults", {"garbage": 1.0})
        body = b'{"model": "m", "prompt": "x"}'
        head = b"POST /v1/completions HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n"
        back = raw(faulty, head % len(body) + body)
        assert len(back) == 512
        assert b"HTTP" not in back

    @pytest.mark.parametrize("stream", [True, False])
    def test_reset_amid_the_body(self, slow_address: str, stream: bool) -> None:
        call(slow_address, "POST", "/faults", {"reset": 1.0})
        body = {"model": "m", "prompt": "x", "max_tokens": 20, "stream": stream}
        connection = http.client.HTTPConnection(slow_address, timeout=PATIENCE)
        connection.request("POST", "/v1/completions", json.dumps(body))
        answer = connection.getresponse()
        assert answer.status == 200
        seen: list[bytes] = []
        with pytest.raises(ConnectionResetError):
            seen.extend(iter(answer.read1, b""))
        answer.close()
        connection.close()
        call(slow_address, "POST", "/faults", {"reset": 0.0})
        assert 0 < b"".join(seen).count(b" token") < 20
        assert metric(slow_address, "vllm:num_requests_running") == 0

    def test_a_curve_that_is_put_is_the_one_that_is_shown(self) -> None:
        with emulated(curve="{type: servers, rate: 1, count: 1}") as address:
            changed = "{type: servers, rate: 1000, count: 1}"
            assert call(address, "PUT", "/curve", changed)[0].status == 200
            shown = json.loads(call(address, "GET", "/curve")[1])
        assert shown == {"type": "servers", "rate": 1000, "count": 1}

    @pytest.mark.parametrize(
        ("path", "body", "problem"),
        [
            ("/faults", {"eror": 1}, "fault 'eror' is unknown; known: error, garba"),
            ("/faults", {"error": 2}, "fault error: is 2"),
            ("/faults", "x", "not JSON"),
            ("/faults", [], "not a mapping"),
            ("/curve", "{type: knee, peak: -1}", "the body: peak: is -1; give a number above 0"),
            ("/curve", "{type: kne}", "did you mean 'knee'?"),
            ("/curve", "]", "not YAML"),
        ],
    )
    def test_a_bad_change_is_refused(
        self, address: str, path: str, body: object, problem: str
    ) -> None:
        answer, read = call(address, "PUT" if path == "/curve" else "POST", path, body)
        assert answer.status == 400
        assert problem in json.loads(read)["error"]["message"]


def test_the_address_it_cannot_have_is_named(address: str) -> None:
    from click.testing import CliRunner

    from isocline.cli import main

    result = CliRunner().invoke(
        main, ["backend", "--curve", "{type: servers, rate: 1}", "--listen", address]
    )
    assert result.exit_code == 2
    assert re.search(rf"{address} cannot be listened on \(.*\); give another", result.stderr)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--curve", "knee"], "--curve: is 'knee'; give a mapping"),
        (["--listen", "nowhere"], "'nowhere': it is not an address"),
        (["--listen", "::1"], "'::1': it is not an address"),
        (["--fault", "eror=1"], "fault 'eror' is unknown"),
        (["--fault", "slow"], "by which factor"),
        (["--fault", "=1"], "give faults as error=0.1,slow=3"),
        (["--sizes", "normal"], "known laws: exponential"),
        (["--sizes", "lognormal:c=1"], "lognormal:cv=2"),
        (["--sizes", "lognormal:cv=-1"], "cv is -1"),
        (["--max-num-seqs", "0"], "'--max-num-seqs': '0' is out of range; give a whole number"),
        (["--decode", "0"], "'--decode': '0' is out of range; give a finite number above 0"),
        (["--fault", "error=2"], "fault error: is 2; give a share of the requests, from 0 to 1"),
        (["--fault", "slow=0"], "fault slow: is 0; give a factor above 0"),
        (["--fault", "error=abc"], "fault error: is 'abc'; give a share of the requests, from 0"),
        (["--fault", "error=["], "fault error: is '['; give a share"),
        (["--fault", "hang=true"], "fault hang: is True; give a share"),
        (["--fault", "error=0.1 slow=3"], "known: error, garbage, hang, reset, load_error, load_h"),
        (["--fault", "error=0.1", "--fault", "error=0.2"], "error stands twice; give each once"),
        (["--fault", "slow"], "fault slow: by which factor? give it as slow=3"),
        (["--sizes", "lognormal:cv=0"], "--sizes 'lognormal:cv=0': lognormal: cv is 0.0; give"),
    ],
)
def test_a_wrong_option_is_named(options: list[str], problem: str) -> None:
    from click.testing import CliRunner

    from isocline.cli import main

    options = ["--curve", "{type: servers, rate: 1}", *options]
    result = CliRunner().invoke(main, ["backend", *options])
    assert result.exit_code == 2
    assert problem in result.stderr
