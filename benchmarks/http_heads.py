"""Our grammar of HTTP heads beside httptools: `python -m benchmarks.http_heads`.

Microseconds of CPU for a request's head as OpenAI's clients send it, read, checked and written
anew for a backend, in alternating rounds; and how many of the malformed requests of our tests each
reader takes for a whole request. httptools wraps llhttp, the parser of Node.js, and hands over
each field by a call of Python; what has to be checked and rewritten is the same for both.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import final

import httptools

from benchmarks.gateway_proxy import POST
from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.request_head import RequestHead
from tests.gateway.proxy.test_smuggling import CASES, LIMITS, bytes_of

ROUNDS, HEADS = 7, 20_000
HEAD = POST.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


@final
class Fields:
    """Protocol of httptools that keeps what it hears of one request."""

    def __init__(self) -> None:
        self.url, self.fields, self.whole = b"", list[tuple[bytes, bytes]](), False

    def on_url(self, url: bytes) -> None:
        """Keep the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field."""
        self.fields.append((name, value))

    def on_message_complete(self) -> None:
        """Note that the request has ended."""
        self.whole = True


def ours() -> bytes:
    """Read a head, and write it for a backend."""
    return RequestHead(HEAD, LIMITS[1]).forward(b"", b"10.0.0.1:80", b"")


def theirs() -> bytes:
    """Read a head by httptools, and write it for a backend, without any check of ours."""
    heard = Fields()
    parser = httptools.HttpRequestParser(heard)
    parser.feed_data(HEAD)
    kept = [name + b": " + value for name, value in heard.fields if name != b"Host"]
    first = b"%b %b HTTP/1.1\r\nHost: 10.0.0.1:80" % (parser.get_method(), heard.url)
    return b"\r\n".join([first, *kept, b"", b""])


def seconds(read: Callable[[], bytes]) -> float:
    """CPU time of a head, s."""
    start = time.process_time()
    for _ in range(HEADS):
        read()
    return (time.process_time() - start) / HEADS


def taken_by_ours(request: bytes) -> bool:
    """Whether our grammar takes the head of a request."""
    end = request.find(b"\r\n\r\n")
    try:
        RequestHead(request[: end + 4], LIMITS[1])
    except BadMessageError:
        return False
    return end >= 0


def taken_by_theirs(request: bytes) -> bool:
    """Whether httptools takes a request, from its first byte to its last."""
    heard = Fields()
    try:
        httptools.HttpRequestParser(heard).feed_data(request)
    except httptools.HttpParserUpgrade:
        return True
    except httptools.HttpParserError:
        return False
    return heard.whole


def main() -> None:
    """Measure, and print both."""
    rounds = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    mine, other = (1e6 * median(column) for column in zip(*rounds, strict=True))
    print(f"a head: ours {mine:.2f} us, httptools {other:.2f} us, ratio {mine / other:.2f}")
    requests = [bytes_of(case) for case in CASES]
    whole = [case["name"] for case, it in zip(CASES, requests, strict=True) if taken_by_theirs(it)]
    heads = sum(map(taken_by_ours, requests))
    print(f"of {len(CASES)} malformed requests httptools takes {len(whole)} as whole:")
    for name in whole:
        print(f"  {name}")
    print(f"heads that ours takes, whose fault is in the body: {heads}")


if __name__ == "__main__":
    main()
