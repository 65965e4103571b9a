"""Endpoint picker protocol 1.0 of the Gateway API inference extension: names, questions, answers.

Source: proposal 004 of kubernetes-sigs/gateway-api-inference-extension, and the names of its
conformance tests. Answers are whole messages as bytes: those that choose an endpoint repeat, and
are kept.
"""

from collections.abc import Iterable
from typing import Any, final

from isocline.gateway.memo import Memo
from isocline.planes.picker.messages import OVERWRITE, ProcessingResponse

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
ENDPOINT = "x-gateway-destination-endpoint"
SUBSET_SPACE, SUBSET = "envoy.lb.subset_hint", "x-gateway-destination-endpoint-subset"
SPACE, SERVED = "envoy.lb", "x-gateway-destination-endpoint-served"
TEST_SELECTION = b"test-epp-endpoint-selection"
TEST_SERVED = "x-conformance-test-served-endpoint"

# Envoy's limit on a message is 64 KiB by default in some gateways; the rest is for the framing.
PIECE = 62_000  # bytes of a body in one answer
_MOST = 10_000  # answers kept


def subset_of(message: Any) -> list[str] | None:
    """Endpoints from which the data plane has the picker choose; None: from all of the pool."""
    hints = _value(message, SUBSET_SPACE, SUBSET)
    if hints is None:
        return None
    if hints.WhichOneof("kind") == "string_value":
        return [part.strip() for part in hints.string_value.split(",") if part.strip()]
    return [value.string_value.strip() for value in hints.list_value.values]


def served_of(message: Any) -> str | None:
    """Endpoint that served a request, as the data plane says; None: it does not say."""
    served = _value(message, SPACE, SERVED)
    return None if served is None else str(served.string_value).strip()


def said_to_have_served(message: Any) -> str:
    """The same for the conformance tests, which want the reason where it is missing."""
    if SPACE not in message.metadata_context.filter_metadata:
        return "fail: missing envoy lb metadata"
    return served_of(message) or "fail: missing destination endpoint served metadata"


def _value(message: Any, space: str, key: str) -> Any:
    if not message.HasField("metadata_context"):
        return None
    spaces = message.metadata_context.filter_metadata
    if space not in spaces or key not in spaces[space].fields:
        return None
    return spaces[space].fields[key]


def chosen(
    endpoints: str,
    asks: bool,
    added: Iterable[tuple[bytes, bytes]] = (),
    removed: Iterable[str] = (),
) -> bytes:
    """Answer to a request's head.

    Args:
        endpoints: Those chosen, in order, separated by commas.
        asks: The backend is asked for its load.
        added: Further fields for the backend.
        removed: Names of fields that it does not get.
    """
    answer = ProcessingResponse()
    common = answer.request_headers.response
    common.clear_route_cache = True  # the route may depend on the header
    _set(common.header_mutation, ENDPOINT, endpoints.encode())
    if asks:
        _set(common.header_mutation, "endpoint-load-metrics-format", b"TEXT")
    for name, value in added:
        _set(common.header_mutation, name.decode("latin-1"), value)
    common.header_mutation.remove_headers.extend(removed)
    metadata = answer.dynamic_metadata.fields[SPACE].struct_value
    metadata.fields[ENDPOINT].string_value = endpoints
    return bytes(answer.SerializeToString())


@final
class Choices(Memo[tuple[str, bool], bytes]):
    """Answers to a request's head that change nothing else, by endpoints and whether it asks."""

    def __init__(self) -> None:
        super().__init__(_MOST)

    def __missing__(self, choice: tuple[str, bool]) -> bytes:
        return self.keep(choice, chosen(*choice))


def _simple(kind: str) -> bytes:
    answer = ProcessingResponse()
    getattr(answer, kind).SetInParent()
    return bytes(answer.SerializeToString())


REQUEST_TRAILERS, RESPONSE_TRAILERS = _simple("request_trailers"), _simple("response_trailers")
RESPONSE_HEADERS = _simple("response_headers")


def response_head(added: Iterable[tuple[str, str]]) -> bytes:
    """Answer to a response's head, with further fields."""
    answer = ProcessingResponse()
    mutation = answer.response_headers.response.header_mutation
    for name, value in added:
        _set(mutation, name, value.encode())
    return bytes(answer.SerializeToString())


def request_body(data: bytes, end: bool) -> list[bytes]:
    """Answers that pass a part of a request's body on."""
    return _passed("request_body", data, end)


def response_body(data: bytes, end: bool) -> list[bytes]:
    """Answers that pass a part of a response's body on."""
    return _passed("response_body", data, end)


def refusal(status: int, fields: Iterable[tuple[bytes, bytes]], body: bytes, why: str) -> bytes:
    """Answer in place of a backend's."""
    answer = ProcessingResponse()
    immediate = answer.immediate_response
    immediate.status.code = status
    for name, value in fields:
        _set(immediate.headers, name.decode("latin-1"), value)
    immediate.body = body
    immediate.details = why
    return bytes(answer.SerializeToString())


def _set(mutation: Any, name: str, value: bytes) -> None:
    mutation.set_headers.add(append_action=OVERWRITE).header.MergeFrom(
        _HEADER(key=name, raw_value=value)
    )


def _body(kind: str, data: bytes, end: bool) -> bytes:
    answer = ProcessingResponse()
    streamed = getattr(answer, kind).response.body_mutation.streamed_response
    streamed.body = data
    streamed.end_of_stream = end
    return bytes(answer.SerializeToString())


@final
class _Around(Memo[tuple[str, int, bool], tuple[bytes, bytes]]):
    """Bytes of an answer before and after a part of a body, by (kind, its length, whether last).

    They are the same around all data of that length.
    """

    def __missing__(self, part: tuple[str, int, bool]) -> tuple[bytes, bytes]:
        kind, length, end = part
        data = b"\xff" * length  # before it are lengths, whose last byte is less
        whole = _body(kind, data, end)
        before, _, after = whole.partition(data) if data else (whole, b"", b"")
        return self.keep(part, (before, after))


_AROUND = _Around(_MOST)


def _passed(kind: str, data: bytes, end: bool) -> list[bytes]:
    length = len(data)
    if length > PIECE:
        starts = range(0, length, PIECE)
        pieces = [(data[at : at + PIECE], end and at == starts[-1]) for at in starts]
        return [answer for piece in pieces for answer in _passed(kind, *piece)]
    before, after = _AROUND[kind, length, end]
    return [b"%b%b%b" % (before, data, after)]


def _header_class() -> Any:
    mutation = ProcessingResponse().request_headers.response.header_mutation
    return type(mutation.set_headers.add().header)


_HEADER = _header_class()
