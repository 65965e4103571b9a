"""One request after the other, message by message: what is answered, and what the core learns."""

from typing import Any

import pytest

from isocline.gateway.core.request_cost import Usage
from isocline.model.curves import TableCurve
from isocline.model.match import Match
from isocline.model.serving_settings import HoldingRule, PickerSettings, SharingRule
from isocline.model.serving_settings import SizeLimits as Sizes
from isocline.planes.picker import protocol
from isocline.planes.picker.pick import ProtocolError
from tests.planes.picker.streams import (
    CHAT,
    FAST,
    SLOW,
    Picking,
    body,
    chosen,
    endpoint,
    exchange,
    fields_of,
    kinds,
    passed,
    request_head,
    response_head,
    trailers,
)

SMALL = TableCurve(((1, 1.0), (2, 1.5), (4, 1.2)))  # at its peak with 2 jobs


def refusal(answers: list[Any]) -> Any:
    assert kinds(answers) == ["immediate_response"]
    return answers[0].immediate_response


def test_the_endpoint_is_named_before_the_body_has_come() -> None:
    picking = Picking(FAST, SLOW)
    stream = picking.stream()
    (answer,) = stream.say(request_head())
    assert chosen(answer) == [endpoint(0)]
    assert answer.request_headers.response.clear_route_cache
    assert picking.jobs == [1, 0]


def test_a_request_and_its_response_pass_unchanged() -> None:
    picking = Picking(FAST)
    stream = picking.stream()
    answers = stream.say(
        request_head(),
        body("request", CHAT[:20]),
        body("request", CHAT[20:]),
        body("request", b"", end=True),
        response_head(),
        body("response", b"one"),
        body("response", b"two", end=True),
    )
    assert passed(answers, "request") == (CHAT, True)
    assert passed(answers, "response") == (b"onetwo", True)
    assert kinds(answers).count("response_headers") == 1
    assert picking.jobs == [0]
    (record,) = picking.records
    assert (record.status, record.received, record.returned) == (200, len(CHAT), 6)


def test_trailers_end_bodies() -> None:
    picking = Picking(FAST)
    answers = picking.stream().say(
        request_head(),
        body("request", CHAT),
        trailers("request"),
        response_head(),
        body("response", b"{}"),
        trailers("response"),
    )
    assert kinds(answers)[2] == "request_trailers"
    assert kinds(answers)[-1] == "response_trailers"
    assert passed(answers, "request") == (CHAT, False)
    assert picking.jobs == [0]
    assert picking.records[0].status == 200


def test_long_parts_are_passed_on_in_pieces_that_a_gateway_takes() -> None:
    long = bytes(range(256)) * 1000
    answers = Picking(FAST).stream().say(request_head(), body("request", long, end=True))
    assert passed(answers, "request") == (long, True)
    assert len(answers) > 4
    assert all(len(answer.SerializeToString()) <= 65_536 for answer in answers)


def test_the_model_decides_once_the_whole_body_has_come() -> None:
    picking = Picking(
        FAST, SLOW, neighbours=[[0], [1]], matches=[Match(model="qwen*"), Match(model="llama*")]
    )
    stream = picking.stream()
    assert stream.say(request_head(), body("request", CHAT[:30])) == []
    answers = stream.say(body("request", CHAT[30:], end=True))
    assert chosen(answers[0]) == [endpoint(1)]
    assert passed(answers, "request") == (CHAT, True)


def test_a_model_that_no_frontend_takes_is_not_found() -> None:
    picking = Picking(FAST, matches=[Match(model="qwen*")])
    answer = refusal(picking.stream().say(request_head(), body("request", CHAT, end=True)))
    assert answer.status.code == 404
    assert b"llama" in answer.body
    assert fields_of(answer.headers)["content-type"] == "application/json"
    assert picking.records[0].status == 404


@pytest.mark.parametrize("content", [b"{", b'{"model": 7}', b"\xff\xfe", b""])
def test_a_body_without_a_model_is_the_clients_mistake(content: bytes) -> None:
    picking = Picking(FAST, matches=[Match(model="qwen*")])
    answers = picking.stream().say(request_head(), body("request", content, end=True))
    assert 400 <= refusal(answers).status.code < 500


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({":method": "CONNECT"}, 405),
        ({":method": "NO SUCH"}, 400),
        ({":path": ""}, 400),
        ({":authority": "a b"}, 400),
        ({"x": "one\r\ntwo: three"}, 400),
        ({"x y": "z"}, 400),
        ({"content-length": "many"}, 400),
        ({"content-length": str(10**12)}, 413),
        ({"x": "y" * 40_000}, 431),
        ({f"x-{i}": "y" for i in range(200)}, 431),
    ],
)
def test_a_malformed_head_is_refused_as_the_router_does(
    fields: dict[str, str], status: int
) -> None:
    picking = Picking(FAST)
    stream = picking.stream()
    assert refusal(stream.say(request_head(fields))).status.code == status
    assert stream.say(body("request", b"more", end=True)) == []
    stream.pick.gone()
    assert picking.jobs == [0]
    assert [record.status for record in picking.records] == [status]


def test_a_subset_is_kept_to() -> None:
    picking = Picking(FAST, SLOW, SLOW)
    for hint in ([endpoint(1)], endpoint(1), [endpoint(1), "10.9.9.9:1"]):
        (answer,) = picking.stream().say(request_head(subset=hint))
        assert chosen(answer) == [endpoint(1)]
    (answer,) = picking.stream().say(request_head(subset=[endpoint(b) for b in range(3)]))
    assert chosen(answer) == [endpoint(0)]


@pytest.mark.parametrize("hint", [[], ["10.9.9.9:1"], ["not an endpoint"], ["10.0.0.1"]])
def test_outside_the_subset_there_is_503(hint: list[str]) -> None:
    picking = Picking(FAST)
    assert refusal(picking.stream().say(request_head(subset=hint))).status.code == 503
    assert picking.jobs == [0]


def test_none_ready_is_503_with_a_time_to_come_again() -> None:
    picking = Picking(FAST)
    picking.core.backend_down(0, 0.0)
    answer = refusal(picking.stream().say(request_head()))
    assert answer.status.code == 503
    assert "retry-after" in fields_of(answer.headers)


def test_several_endpoints_come_in_the_order_of_the_cores_scores() -> None:
    picking = Picking(SLOW, FAST, FAST, picker=PickerSettings(endpoints=3))
    picking.core.reported(1, 0.0, 3)
    (answer,) = picking.stream().say(request_head())
    assert chosen(answer) == [endpoint(2), endpoint(1), endpoint(0)]
    (answer,) = picking.stream().say(request_head(subset=[endpoint(0), endpoint(1)]))
    assert chosen(answer) == [endpoint(1), endpoint(0)]


def test_who_served_is_counted_and_who_failed_is_blamed() -> None:
    picking = Picking(FAST, SLOW, picker=PickerSettings(endpoints=2))
    stream = picking.stream()
    stream.say(request_head(), body("request", CHAT, end=True))
    stream.say(response_head(served=endpoint(1)))
    assert picking.jobs == [0, 1]
    stream.say(body("response", b"{}", end=True))
    assert picking.jobs == [0, 0]
    (record,) = picking.records
    assert (record.backend, record.attempts, [b for b, _ in record.failures]) == (1, 2, [0])


@pytest.mark.parametrize("served", ["10.0.0.1:8000", "10.9.9.9:1", "", None])
def test_the_chosen_endpoint_counts_unless_another_of_the_pool_is_named(
    served: str | None,
) -> None:
    picking = Picking(FAST, SLOW)
    stream = picking.stream()
    stream.say(request_head(), response_head(served=served))
    assert picking.jobs == [1, 0]


def test_a_full_pool_holds_requests_and_sheds_with_429() -> None:
    picking = Picking(SMALL, rules={"holding": HoldingRule(seconds=5.0, most=1)})
    first, second, held, shed = (picking.stream() for _ in range(4))
    for stream in (first, second):
        assert chosen(stream.say(request_head())[0])
    assert held.say(request_head(), body("request", CHAT, end=True)) == []
    assert held.pick.waits
    assert refusal(shed.say(request_head())).status.code == 429
    first.say(response_head(end=True))
    assert held.woken == 1
    answers = held.heard()
    assert chosen(answers[0]) == [endpoint(0)]
    assert passed(answers, "request") == (CHAT, True)


def test_a_request_that_waited_too_long_is_shed() -> None:
    picking = Picking(SMALL, rules={"holding": HoldingRule(seconds=5.0)})
    streams = [picking.stream() for _ in range(3)]
    for stream in streams:
        stream.say(request_head())
    picking.now = 6.0
    picking.bridge.act(picking.core.tick(picking.now))
    answer = refusal(streams[2].heard())
    assert answer.status.code == 429
    assert "retry-after" in fields_of(answer.headers)


def test_bodies_that_wait_are_bounded() -> None:
    sizes = Sizes(body=100, bodies=150)
    picking = Picking(FAST, matches=[Match(model="x")], sizes=sizes)
    answers = picking.stream().say(request_head(), body("request", b" " * 101))
    assert refusal(answers).status.code == 413
    full = Picking(SMALL, sizes=sizes)
    for _ in range(2):
        full.stream().say(request_head())
    held = full.stream()
    held.say(request_head())
    assert refusal(held.say(body("request", b" " * 101))).status.code == 413
    assert full.core.waiting_queue.total == 0


@pytest.mark.parametrize("heard", [1, 2, 3])
def test_a_stream_that_ends_early_leaves_nothing(heard: int) -> None:
    picking = Picking(FAST)
    stream = picking.stream()
    stream.say(*exchange()[:heard])
    stream.pick.gone()
    assert picking.jobs == [0]
    assert not picking.bridge.exchanges
    assert [record.status for record in picking.records] == [499 if heard < 3 else 200]


def test_a_held_request_whose_client_leaves_waits_no_longer() -> None:
    picking = Picking(SMALL)
    streams = [picking.stream() for _ in range(3)]
    for stream in streams:
        stream.say(request_head())
    streams[2].pick.gone()
    assert picking.core.waiting_queue.total == 0
    streams[0].pick.gone()
    assert picking.jobs == [1]


def test_after_the_last_event_a_client_may_leave() -> None:
    picking = Picking(FAST)
    stream = picking.stream()
    stream.say(
        request_head(),
        response_head({"content-type": "text/event-stream"}),
        body("response", b"data: {}\n\ndata: [DONE]\n\n"),
    )
    stream.pick.gone()
    assert picking.records[0].reason == ""


def test_without_the_responses_body_the_end_of_the_stream_is_its_end() -> None:
    picking = Picking(FAST)
    stream = picking.stream()
    stream.say(request_head(modes=(4, 0)), body("request", CHAT, end=True), response_head())
    assert picking.jobs == [1]
    stream.pick.gone()
    assert picking.jobs == [0]
    assert picking.records[0].reason == ""


def test_usage_is_read_from_documents_and_streams() -> None:
    told = b'"usage": {"prompt_tokens": 11, "completion_tokens": 7}'
    picking = Picking(FAST, tokens=True)
    picking.stream().say(*exchange()[:3], body("response", b"{%b}" % told, end=True))
    picking.stream().say(
        *exchange()[:2],
        response_head({"content-type": "text/event-stream; charset=utf-8"}),
        body("response", b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'),
        body("response", b'data: {"choices": [], %b}\n\n' % told[:20]),
        body("response", b'data: {"choices": [], %b}\n\ndata: [DONE]\n\n' % told, end=True),
    )
    document, stream = picking.records
    assert document.usage == stream.usage == Usage(11, 7)
    assert document.first_token is None
    assert stream.first_token is not None


@pytest.mark.parametrize("where", ["document", "stream", "trailers"])
def test_load_reports_correct_the_counts(where: str) -> None:
    running, waiting = (f"named_metrics.num_requests_{it}" for it in ("running", "waiting"))
    load = {"endpoint-load-metrics": f"TEXT {running}=6, {waiting}=0"}
    sized = load | {"content-length": "2"}
    picking = Picking(FAST)
    stream = picking.stream()
    (answer,) = stream.say(request_head())
    assert (
        fields_of(answer.request_headers.response.header_mutation)["endpoint-load-metrics-format"]
        == "TEXT"
    )
    head = {"document": sized, "stream": load, "trailers": {}}[where]
    stream.say(response_head(head), body("response", b"{}", end=where != "trailers"))
    if where == "trailers":
        stream.say(trailers("response", load))
    # A report in a stream's head counts the request itself, which is over by now.
    assert picking.core.workloads[0] == (5 if where == "stream" else 6)


def test_a_refusal_of_a_full_backend_goes_to_the_client_and_closes_it_for_a_while() -> None:
    picking = Picking(FAST, SLOW)
    streams = [picking.stream() for _ in range(2)]
    for stream in streams:
        assert chosen(stream.say(request_head())[0]) == [endpoint(0)]
    full = {":status": "429", "retry-after": "30"}
    assert kinds(streams[0].say(response_head(full, end=True))) == ["response_headers"]
    assert [record.status for record in picking.records] == [429]
    (answer,) = picking.stream().say(request_head())
    assert chosen(answer) == [endpoint(1)]


def test_priorities_and_tenants_are_read() -> None:
    rule = SharingRule(priority="x-priority", tenant="x-tenant")
    picking = Picking(FAST, rules={"sharing": rule})
    picking.stream().say(*exchange(fields={"x-priority": "3", "x-tenant": "blue"}))
    (record,) = picking.records
    assert (record.priority, record.tenant) == (3, "blue")
    answers = picking.stream().say(request_head({"x-priority": "high"}))
    assert refusal(answers).status.code == 400


def test_the_conformance_tests_choose_and_see_who_served() -> None:
    picking = Picking(SLOW, FAST, picker=PickerSettings(conformance=True))
    for selection in ("10.0.0.1", "10.0.0.1:8000", "10.9.9.9, 10.0.0.1"):
        stream = picking.stream()
        (answer,) = stream.say(request_head({"test-epp-endpoint-selection": selection}))
        assert chosen(answer) == [endpoint(0)]
        (answer,) = stream.say(response_head(served=endpoint(0), end=True))
        said = fields_of(answer.response_headers.response.header_mutation)
        assert said == {"x-conformance-test-served-endpoint": endpoint(0)}
    stream = picking.stream()
    stream.say(request_head())
    (answer,) = stream.say(response_head())
    said = fields_of(answer.response_headers.response.header_mutation)
    assert said["x-conformance-test-served-endpoint"].startswith("fail: ")
    nobody = request_head({"test-epp-endpoint-selection": "10.9.9.9"})
    assert refusal(picking.stream().say(nobody)).status.code == 503


def test_without_the_setting_a_client_cannot_choose() -> None:
    (answer,) = (
        Picking(SLOW, FAST).stream().say(request_head({"test-epp-endpoint-selection": "10.0.0.1"}))
    )
    assert chosen(answer) == [endpoint(1)]


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([body("request", b"early")], "request_headers"),
        ([response_head()], "request_headers"),
        ([request_head(), request_head()], "twice"),
        ([request_head(modes=(2, 4))], "FULL_DUPLEX_STREAMED"),
        ([request_head(modes=(4, 1))], "response_body_mode"),
    ],
)
def test_messages_out_of_order_are_refused(messages: list[Any], told: str) -> None:
    picking = Picking(FAST)
    stream = picking.stream()
    with pytest.raises(ProtocolError, match=told):
        stream.say(*messages)
    stream.pick.gone()
    assert picking.jobs == [0]


def test_an_observer_gets_no_answers() -> None:
    message = request_head()
    message.observability_mode = True
    with pytest.raises(ProtocolError, match="observability_mode"):
        Picking(FAST).stream().say(message)


def test_the_gateways_own_answers_pass() -> None:
    picking = Picking(FAST, matches=[Match(model="*")])
    stream = picking.stream()
    stream.say(request_head(), body("request", b"{"))
    answers = stream.say(response_head({":status": "408"}), body("response", b"late", end=True))
    assert kinds(answers) == ["response_headers", "response_body"]
    stream.pick.gone()
    assert picking.jobs == [0]


def test_names_are_those_of_the_protocol() -> None:
    assert protocol.SERVICE == "envoy.service.ext_proc.v3.ExternalProcessor"
    assert protocol.SERVED == "x-gateway-destination-endpoint-served"


@pytest.mark.parametrize("homes", [True, False])
def test_prompts_have_keys_by_which_pickers_agree_on_a_home(homes: bool) -> None:
    content = CHAT.replace(b"Hi", b"Hi " * 1000)
    keys = set()
    for _ in range(2):
        one = Picking(FAST, FAST, prompts=True, homes=homes).stream()
        one.say(request_head({"content-length": str(len(content))}))
        one.say(body("request", content, end=True))
        assert one.pick.prompt is not None
        keys.add(one.pick.prompt.keys)
    assert len(keys) == 1
    assert all(map(bool, keys)) == homes
