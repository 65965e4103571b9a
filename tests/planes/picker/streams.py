"""Messages of a data plane, and a picker that hears them without a network and without time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from isocline.gateway.access_log import Access
from isocline.gateway.config import BackendAddress, FrontendRule, ProxySettings
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.proxy.body_buffer import Total
from isocline.gateway.serve.worker import read_load
from isocline.model.curves import Curve, HyperbolicCurve
from isocline.model.match import Match
from isocline.model.serving_settings import PickerSettings, Rules
from isocline.planes.picker import protocol
from isocline.planes.picker.bridge import PickBridge
from isocline.planes.picker.messages import ONEOF, ProcessingRequest, ProcessingResponse
from isocline.planes.picker.pick import Pick
from isocline.policies.parse import parse
from tests.builders import fleet

FAST, SLOW = HyperbolicCurve(40.0, 12.0), HyperbolicCurve(6.0, 5.0)
HEAD = {":method": "POST", ":path": "/v1/chat/completions", ":authority": "pool.example"}
CHAT = b'{"model": "llama", "messages": [{"role": "user", "content": "Hi"}]}'


def endpoint(backend: int) -> str:
    return f"10.0.0.{backend + 1}:8000"


# Messages


def request_head(
    fields: Mapping[str, str] | None = None,
    *,
    end: bool = False,
    subset: Sequence[str] | str | None = None,
    modes: tuple[int, int] | None = None,
) -> Any:
    message = _headed("request_headers", {**HEAD, **(fields or {})}, end)
    if subset is not None:
        hints = message.metadata_context.filter_metadata[protocol.SUBSET_SPACE]
        hints[protocol.SUBSET] = subset if isinstance(subset, str) else list(subset)
    if modes is not None:
        message.protocol_config.request_body_mode, message.protocol_config.response_body_mode = (
            modes
        )
    return message


def response_head(
    fields: Mapping[str, str] | None = None, *, end: bool = False, served: str | None = None
) -> Any:
    message = _headed("response_headers", {":status": "200", **(fields or {})}, end)
    if served is not None:
        message.metadata_context.filter_metadata[protocol.SPACE][protocol.SERVED] = served
    return message


def body(of: str, data: bytes, *, end: bool = False) -> Any:
    message = ProcessingRequest()
    part = getattr(message, f"{of}_body")
    part.SetInParent()
    part.body, part.end_of_stream = data, end
    return message


def trailers(of: str, fields: Mapping[str, str] | None = None) -> Any:
    message = ProcessingRequest()
    part = getattr(message, f"{of}_trailers")
    part.SetInParent()
    _fill(part.trailers, fields or {})
    return message


def exchange(content: bytes = CHAT, **head: Any) -> list[Any]:
    """All messages of a request that is served."""
    return [
        request_head(**head),
        body("request", content, end=True),
        response_head(),
        body("response", b"{}", end=True),
    ]


def _headed(of: str, fields: Mapping[str, str], end: bool) -> Any:
    message = ProcessingRequest()
    part = getattr(message, of)
    part.SetInParent()
    part.end_of_stream = end
    _fill(part.headers, fields)
    return message


def _fill(headers: Any, fields: Mapping[str, str]) -> None:
    for key, value in fields.items():
        headers.headers.add(key=key, raw_value=value.encode("latin-1"))


# Answers


def kinds(answers: Iterable[Any]) -> list[str]:
    return [answer.WhichOneof(ONEOF) for answer in answers]


def fields_of(mutation: Any) -> dict[str, str]:
    return {it.header.key: it.header.raw_value.decode() for it in mutation.set_headers}


def chosen(answer: Any) -> list[str]:
    """Endpoints of an answer, which header and metadata must agree on."""
    said = fields_of(answer.request_headers.response.header_mutation)[protocol.ENDPOINT]
    assert answer.dynamic_metadata[protocol.SPACE][protocol.ENDPOINT] == said
    return said.split(",")


def passed(answers: Iterable[Any], of: str) -> tuple[bytes, bool]:
    """The body that the answers pass on, and whether it ends with the last of them."""
    parts = [
        getattr(it, f"{of}_body").response.body_mutation.streamed_response
        for it in answers
        if it.WhichOneof(ONEOF) == f"{of}_body"
    ]
    assert not any(part.end_of_stream for part in parts[:-1])
    return b"".join(part.body for part in parts), bool(parts) and parts[-1].end_of_stream


@final
class Stream:
    """One stream of a data plane to a picker."""

    def __init__(self, bridge: PickBridge, listener: str = "default") -> None:
        self.woken = 0
        self.pick = Pick(bridge, listener, Total(), self._wake)

    def say(self, *messages: Any) -> list[Any]:
        """Send messages, as they are on the wire; returns the answers so far."""
        for message in messages:
            self.pick.receive(ProcessingRequest.FromString(message.SerializeToString()))
        return self.heard()

    def heard(self) -> list[Any]:
        answers, self.pick.answers = self.pick.answers, []
        return [ProcessingResponse.FromString(answer) for answer in answers]

    def _wake(self) -> None:
        self.woken += 1


@final
class Picking:
    """A bridge and its core, on a clock that stands still until it is set."""

    def __init__(
        self,
        *curves: Curve,
        policy: str = "gmsr",
        neighbours: Sequence[Sequence[int]] | None = None,
        matches: Sequence[Match] = (Match(),),
        rules: Mapping[str, Any] | None = None,
        picker: PickerSettings | None = None,
        core: Core | None = None,
        **settings: Any,
    ) -> None:
        self.now = 0.0
        self.records: list[Access] = []
        system = fleet(curves, [0.1] * len(matches), neighbours)
        self.core = core or core_of(system, parse(policy), rules=Rules(**(rules or {})))
        self.settings = ProxySettings(
            backends=tuple(
                BackendAddress(f"b{b}", f"http://{endpoint(b)}", reports="ask")
                for b in range(len(curves))
            ),
            frontends=tuple(FrontendRule(f"f{f}", match) for f, match in enumerate(matches)),
            picker=picker or PickerSettings(),
            **settings,
        )
        self.bridge = PickBridge(
            self.core, self.settings, [self.records.append], read_load, self.clock, lambda: 1e9
        )

    def clock(self) -> float:
        return self.now

    def stream(self) -> Stream:
        return Stream(self.bridge)

    @property
    def jobs(self) -> list[int]:
        return [self.core.in_flight(b) for b in range(len(self.settings.backends))]
