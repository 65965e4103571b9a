"""Calls from web pages: preflights, and what lets a browser show a response."""

import asyncio
from typing import Any

import pytest

from isocline.gateway.config import FrontendRule, digest
from isocline.model.match import Match
from isocline.model.serving_settings import Cors
from tests.gateway.proxies import Client, ok, proxying, run, saying, value_of

APP = b"https://app.example.org"
KEYS = (digest("right"),)
CORS = Cors(("https://*.example.org", "http://localhost:*"))
ORIGIN, METHOD, FIELDS = (
    b"access-control-allow-origin",
    b"access-control-allow-methods",
    b"access-control-allow-headers",
)


def ask(method: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    head = [b"%b /v1/chat/completions HTTP/1.1" % method, b"Host: a", *fields]
    if body:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", body])


def preflight(origin: bytes, *fields: bytes) -> bytes:
    return ask(b"OPTIONS", b"Origin: " + origin, b"Access-Control-Request-Method: POST", *fields)


WANTED = b"Access-Control-Request-Headers: authorization,content-type,x-stainless-lang"


def test_a_preflight_needs_neither_key_nor_frontend_nor_backend() -> None:
    async def scenario() -> None:
        async with proxying(
            saying(ok()),
            frontends=[FrontendRule("m", Match(model="m"))],
            key_digests=KEYS,
            cors=CORS,
        ) as (seen, [backend]):
            client = await seen.connect()
            for origin in (APP, b"http://localhost:3000"):
                status, head, _ = await client.ask(preflight(origin, WANTED))
                assert status == 204
                assert value_of(head, ORIGIN) == origin
                assert value_of(head, METHOD) == b"GET, HEAD, POST, PUT, PATCH, DELETE"
                assert value_of(head, FIELDS) == b"authorization,content-type,x-stainless-lang"
                assert value_of(head, b"access-control-max-age") == b"600"
                assert value_of(head, b"vary") == b"Origin, Access-Control-Request-Headers"
                assert value_of(head, b"access-control-allow-credentials") is None
                assert value_of(head, b"content-length") is None
                assert value_of(head, b"connection") == b"keep-alive"
            assert backend.heads == []
            await seen.settled()
            assert [it.status for it in seen.accesses] == [204, 204]
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    "origin",
    [
        b"https://example.org",
        b"https://app.example.org.evil.com",
        b"http://app.example.org",
        b"https://evil.com/.example.org",
        b"https://evil.com?.example.org",
        b"https://evil.com#.example.org",
        b"https://x@evil.com\x80.example.org",
        b"null",
        b"",
    ],
)
def test_pages_of_others_may_not_call(origin: bytes) -> None:
    async def scenario() -> None:
        async with proxying(saying(ok()), cors=CORS) as (seen, [backend]):
            client = await seen.connect()
            status, head, body = await client.ask(preflight(origin))
            assert status == 403
            assert b"serve.cors.origins" in body
            assert value_of(head, ORIGIN) is None
            assert backend.heads == []
            # The response to a simple request goes out; a browser keeps it from the page.
            status, head, _ = await client.ask(ask(b"GET", b"Origin: " + origin))
            assert (status, value_of(head, ORIGIN), value_of(head, b"vary")) == (
                200,
                None,
                b"Origin",
            )
            client.close()

    run(scenario())


def test_two_origins_are_none() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok()), cors=CORS) as (seen, _):
            client = await seen.connect()
            status, head, _ = await client.ask(preflight(APP, b"Origin: " + APP))
            assert (status, value_of(head, ORIGIN)) == (403, None)
            client.close()

    run(scenario())


STREAM = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Credentials: true\r\nVary: Accept\r\n\r\n5\r\ndata:\r\n0\r\n\r\n"
)


def test_every_response_is_for_the_page_streams_and_errors_too() -> None:
    async def scenario() -> None:
        frontends = [FrontendRule("m", Match(model="m"))]
        async with proxying(saying(STREAM), frontends=frontends, key_digests=KEYS, cors=CORS) as (
            seen,
            [backend],
        ):
            key, page = b"Authorization: Bearer right", b"Origin: " + APP
            cases = [
                (ask(b"POST", key, page, body=b'{"model":"m"}'), 200),
                (ask(b"POST", key, page, body=b'{"model":"x"}'), 404),
                (ask(b"POST", key, page, body=b"noise"), 400),
                (ask(b"POST", page, body=b'{"model":"m"}'), 401),
                (ask(b"POST", key, page, b"Content-Length: 999999999999"), 413),
                (ask(b"POST", key, page, b"Transfer-Encoding: chunked") + b"x\r\n", 400),
            ]
            for request, expected in cases:
                client = await seen.connect()
                status, head, _ = await client.ask(request)
                assert status == expected
                origins = [it for it in head.lower().split(b"\r\n") if it.startswith(ORIGIN)]
                assert origins == [ORIGIN + b": " + APP]
                assert value_of(head, b"access-control-expose-headers") == b"*"
                assert value_of(head, b"access-control-allow-credentials") is None
                assert b"\r\nVary: Origin\r\n" in head
                client.close()
            assert value_of(backend.heads[0], b"origin") == APP
            # What is said of one request's page is not said of the next request's.
            client = await seen.connect()
            await client.ask(cases[0][0])
            status, head, _ = await client.ask(b"broken\r\n\r\n")
            assert (status, value_of(head, ORIGIN)) == (400, None)
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("cors", "origin", "credentials", "exposed"),
    [
        (Cors(("*",)), b"*", None, b"*"),
        (Cors(("*",), expose=()), b"*", None, None),
        (Cors(("https://app.example.org",), credentials=True), APP, b"true", None),
        (Cors(("HTTPS://App.example.org",), expose=("X-A", "X-B")), APP, None, b"X-A, X-B"),
    ],
)
def test_settings_choose_what_is_said(
    cors: Cors, origin: bytes, credentials: bytes | None, exposed: bytes | None
) -> None:
    async def scenario() -> None:
        async with proxying(saying(ok()), cors=cors) as (seen, _):
            client = await seen.connect()
            for request in (preflight(APP), ask(b"GET", b"Origin: " + APP)):
                _, head, _ = await client.ask(request)
                assert value_of(head, ORIGIN) == origin
                assert value_of(head, b"access-control-allow-credentials") == credentials
            assert value_of(head, b"access-control-expose-headers") == exposed
            client.close()

    run(scenario())


def test_the_headers_of_a_list_are_named_and_not_those_that_were_asked_for() -> None:
    async def scenario() -> None:
        cors = Cors(("*",), methods=("POST",), headers=("authorization", "X-A"), max_age=5)
        async with proxying(saying(ok()), cors=cors) as (seen, _):
            client = await seen.connect()
            _, head, _ = await client.ask(preflight(APP, WANTED))
            assert value_of(head, FIELDS) == b"authorization, X-A"
            assert value_of(head, METHOD) == b"POST"
            client.close()

    run(scenario())


async def heads(client: Client, *requests: bytes) -> list[bytes]:
    return [(await client.ask(request))[1] for request in requests]


def test_without_the_setting_all_is_the_backends() -> None:
    async def scenario() -> None:
        async with proxying(saying(STREAM)) as (seen, [backend]):
            client = await seen.connect()
            for head in await heads(client, preflight(APP), ask(b"GET", b"Origin: " + APP)):
                assert value_of(head, ORIGIN) == b"*"
                assert value_of(head, b"vary") == b"Accept"
            assert len(backend.heads) == 2
            client.close()

    run(scenario())


@pytest.mark.parametrize(
    "more",
    [{}, {"frontends": [FrontendRule("m", Match(model="m")), FrontendRule("rest")]}],
)
def test_options_without_a_page_and_with_a_body_are_requests_as_others(
    more: dict[str, Any],
) -> None:
    async def scenario() -> None:
        async with proxying(saying(ok()), cors=CORS, **more) as (seen, [backend]):
            client = await seen.connect()
            assert (await client.ask(ask(b"OPTIONS")))[0] == 200
            with_body = preflight(APP, b"Content-Length: 1") + b"x"
            assert (await client.ask(with_body))[0] == 200
            assert len(backend.heads) == 2
            client.close()

    run(scenario())


def test_preflights_in_a_row_are_answered_in_order() -> None:
    async def scenario() -> None:
        async with proxying(saying(ok(b"x")), cors=CORS) as (seen, _):
            client = await seen.connect()
            client.writer.write(preflight(APP) + ask(b"GET") + preflight(APP) + ask(b"GET"))
            got = [await client.response() for _ in range(4)]
            assert [status for status, _, _ in got] == [204, 200, 204, 200]
            await asyncio.sleep(0)
            client.close()

    run(scenario())
