"""Limits of keys over real sockets: 429 as OpenAI has it, fields, usage, log and metrics."""

import json
from typing import Any

import pytest

from isocline.gateway.access_log import AccessLog
from isocline.gateway.config import digest
from isocline.gateway.http.rate_limits import duration
from isocline.gateway.metrics.failure_reasons import reason_of
from isocline.model.serving_settings import Cors, KeyLimit
from tests.gateway.proxies import Seen, ok, proxying, run, saying, value_of

KEYS: dict[str, Any] = {
    "key_digests": tuple(map(digest, ("a-key", "b-key", "c-key"))),
    "key_names": ("ann", "bob", "ann"),
}
USED = b'{"usage": {"prompt_tokens": 30, "completion_tokens": 70}}'


def post(key: str = "a-key", body: bytes = b"x" * 40, *fields: str) -> bytes:
    lines = ["POST /v1/completions HTTP/1.1", "Host: a", f"Authorization: Bearer {key}", *fields]
    head = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}", ""))
    return head.encode() + body


async def asked(seen: Seen, request: bytes) -> tuple[int, bytes, bytes]:
    client = await seen.connect()
    answer = await client.ask(request)
    client.close()
    await seen.settled()
    return answer


def limits(head: bytes, kind: str) -> tuple[bytes | None, ...]:
    names = (f"x-ratelimit-{part}-{kind}".encode() for part in ("limit", "remaining", "reset"))
    return tuple(value_of(head, name) for name in names)


def test_a_key_beyond_its_limit_gets_429_as_of_openai() -> None:
    async def scenario() -> None:
        more = KEYS | {"key_limits": {"ann": KeyLimit(2.0)}}
        async with proxying(saying(ok()), **more) as (seen, [backend]):
            status, head, _ = await asked(seen, post())
            assert (status, limits(head, "requests")[:2]) == (200, (b"2", b"1"))
            assert limits(head, "tokens") == (None, None, None)
            assert (await asked(seen, post("c-key")))[0] == 200  # another key of that name
            status, head, body = await asked(seen, post())
            assert status == 429
            assert 29 <= int(value_of(head, b"retry-after") or b"0") <= 30
            limit, remaining, reset = limits(head, "requests")
            assert (limit, remaining) == (b"2", b"0")
            assert reset is not None
            assert reset.endswith(b"s")
            error = json.loads(body)["error"]
            assert error["type"] == "requests"
            assert error["code"] == "rate_limit_exceeded"
            assert error["param"] is None
            assert error["message"].startswith("rate limit reached for key ann on requests per min")
            assert (await asked(seen, post("b-key")))[0] == 200
            assert len(backend.heads) == 3
            refused = seen.accesses[2]
            assert (refused.key, refused.status, reason_of(refused)) == ("ann", 429, "rate_limited")
            seen.clock.skip(31.0)
            assert (await asked(seen, post()))[0] == 200

    run(scenario())


def test_a_key_without_limits_hears_nothing_of_them() -> None:
    async def scenario() -> None:
        more = KEYS | {"key_limits": {"ann": KeyLimit(2.0)}}
        async with proxying(saying(ok()), **more) as (seen, _):
            _, head, _ = await asked(seen, post("b-key"))
            assert b"ratelimit" not in head.lower()

    run(scenario())


def test_tokens_are_counted_by_what_the_backend_says() -> None:
    async def scenario() -> None:
        more = KEYS | {"key_limits": {"ann": KeyLimit(None, 200.0)}, "tokens": True}
        async with proxying(saying(ok(USED)), **more) as (seen, _):
            _, head, _ = await asked(seen, post())
            assert limits(head, "tokens")[:2] == (b"200", b"190")  # 40 bytes are taken for 10
            _, head, _ = await asked(seen, post())
            # 100 were used, of which 190 - 100 = 90 and what is filled meanwhile are left; this one
            # is taken for 30 and for the mean of what came back, 35.
            assert int(limits(head, "tokens")[1] or b"-1") < 100
            status, _, body = await asked(seen, post())
            assert status == 429
            assert json.loads(body)["error"]["type"] == "tokens"

    run(scenario())


def test_what_a_backend_refuses_takes_no_tokens() -> None:
    async def scenario() -> None:
        more = KEYS | {"key_limits": {"ann": KeyLimit(None, 100.0)}, "tokens": True}
        refusing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        async with proxying(saying(refusing), **more) as (seen, _):
            for _ in range(20):
                status, head, _ = await asked(seen, post())
                assert (status, limits(head, "tokens")[1]) == (404, b"90")

    run(scenario())


def test_fields_of_the_backend_give_way_to_the_routers() -> None:
    async def scenario() -> None:
        more = KEYS | {"key_limits": {"ann": KeyLimit(5.0)}}
        theirs = ok(b"ok", b"x-ratelimit-limit-requests: 9999", b"X-RateLimit-Other: 1")
        async with proxying(saying(theirs), **more) as (seen, _):
            _, head, _ = await asked(seen, post())
            assert head.lower().count(b"x-ratelimit-limit-requests") == 1
            assert limits(head, "requests")[0] == b"5"
            _, head, _ = await asked(seen, post("b-key"))
            assert value_of(head, b"x-ratelimit-limit-requests") == b"9999"

    run(scenario())


def test_a_connection_outlives_a_refusal_and_pages_may_read_it() -> None:
    async def scenario() -> None:
        more = KEYS | {"key_limits": {"ann": KeyLimit(1.0)}, "cors": Cors(("https://a.example",))}
        async with proxying(saying(ok()), **more) as (seen, _):
            client = await seen.connect()
            origin = "Origin: https://a.example"
            assert (await client.ask(post("a-key", b"x", origin)))[0] == 200
            status, head, _ = await client.ask(post("a-key", b"x", origin))
            assert status == 429
            assert value_of(head, b"access-control-allow-origin") == b"https://a.example"
            assert (await client.ask(post("b-key")))[0] == 200
            status, head, _ = await client.ask(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            assert status == 401
            assert b"x-ratelimit" not in head

    run(scenario())


def test_the_log_has_the_name_of_the_key() -> None:
    class Lines:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    async def scenario() -> None:
        async with proxying(saying(ok()), **KEYS) as (seen, _):
            await asked(seen, post("b-key"))
            lines = Lines()
            log = AccessLog(lines, ["all"], ["b0"], "gmsr")
            log(seen.accesses[0])
            log.flush()
            assert json.loads(lines.text)["key"] == "bob"
            assert "b-key" not in lines.text

    run(scenario())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.0861, "87ms"),
        (1.0, "1s"),
        (7.66, "7.66s"),
        (59.9999, "1m0s"),
        (360.0, "6m0s"),
    ],
)
def test_times_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
