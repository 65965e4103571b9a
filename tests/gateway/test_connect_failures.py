"""A connection that cannot be made says why, where, and what to do."""

import asyncio
import errno
import ssl

import pytest

from isocline.gateway.config import BackendAddress
from isocline.gateway.connect_failures import failure_of
from isocline.gateway.core.actions import Cause
from tests.gateway.proxies import listening, proxying, run

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("url", "cause", "words"),
    [
        ("http://no-such-name.invalid", Cause.UNRESOLVED, "'no-such-name.invalid' cannot be"),
        (f"http://{'a' * 64}.example:80", Cause.UNRESOLVED, "check the backend's url"),
        ("http://a..b:80", Cause.UNRESOLVED, "'a..b' cannot be resolved"),
        ("http://127.0.0.1:1", Cause.CONNECT, "127.0.0.1:1: Connection refused"),
    ],
)
def test_the_log_says_what_is_wrong_and_the_client_hears_the_kind(
    url: str, cause: Cause, words: str
) -> None:
    async def scenario() -> None:
        async with proxying(url) as (seen, _):
            client = await seen.connect()
            status, _, body = await client.ask(POST)
            assert status == 502
            assert cause.reason.encode() in body
            assert b"check" not in body  # names and remedies are for the operator
            [access] = seen.accesses
            assert [failed for _, failed in access.failures] == [cause] * access.attempts
            assert words in access.reason
            assert "; check" in access.reason
            client.close()

    run(scenario())


def test_a_server_without_tls_is_named_as_that() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        async with (
            listening(speak) as port,
            proxying(f"https://127.0.0.1:{port}") as (seen, _),
        ):
            client = await seen.connect()
            assert (await client.ask(POST))[0] == 502
            assert {cause for _, cause in seen.accesses[0].failures} == {Cause.TLS}
            assert "check the url's scheme" in seen.accesses[0].reason

    run(scenario())


ADDRESS = BackendAddress("b0", "http://10.0.0.1:80")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENETUNREACH, "Network is unreachable"), Cause.UNREACHABLE),
        (OSError(errno.EHOSTUNREACH, "No route to host"), Cause.UNREACHABLE),
        (OSError(errno.EMFILE, "Too many open files"), Cause.LOCAL),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), Cause.LOCAL),
        (PermissionError(errno.EPERM, "Operation not permitted"), Cause.LOCAL),
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), Cause.TLS),
    ],
)
def test_each_failure_has_its_cause_and_words(error: Exception, cause: Cause) -> None:
    found, words = failure_of(error, ADDRESS)
    assert found is cause
    assert "10.0.0.1:80" in words
    assert str(error.args[-1]) in words


@pytest.mark.parametrize(
    "text",
    [
        "Multiple exceptions: [Errno 111] Connect call failed ('::1', 80), [Errno 113] ...",
        "[Errno 113] Connect call failed ('10.0.0.1', 80)",
    ],
)
def test_several_attempts_are_told_in_the_words_of_the_last(text: str) -> None:
    assert failure_of(OSError(text), ADDRESS) == (
        Cause.UNREACHABLE,
        "10.0.0.1:80: No route to host; check the network and the url",
    )


def test_no_backend_is_blamed_for_what_this_machine_lacks() -> None:
    assert {cause for cause in Cause if cause.status == 502 and not cause.blamed} == {
        Cause.STALE,
        Cause.LOCAL,
    }
