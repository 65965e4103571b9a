"""Tokens of responses in the forms of real servers: llama.cpp, vLLM, OpenAI's and Anthropic's."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.body import encode
from isocline.gateway.proxy.token_ratios import TokenRatios
from isocline.gateway.proxy.token_usage import TokenUsage


def event(choices: list[dict[str, Any]], **more: object) -> bytes:
    said = {"choices": choices, "model": "mid", "object": "chat.completion.chunk", **more}
    return b"data: " + json.dumps(said, separators=(",", ":")).encode() + b"\n\n"


def text(said: str | None, index: int = 0, reason: str | None = None, **more: object) -> bytes:
    delta = {} if said is None else {"content": said}
    return event([{"finish_reason": reason, "index": index, "delta": delta}], **more)


def usage(prompt: int, output: int) -> dict[str, Any]:
    details = {"prompt_tokens_details": {"cached_tokens": prompt - 1}}
    return {"completion_tokens": output, "prompt_tokens": prompt, **details}


def timings(cached: int, prompt: int, output: int) -> dict[str, Any]:
    return {"cache_n": cached, "prompt_n": prompt, "prompt_ms": 2.5, "predicted_n": output}


DONE = b"data: [DONE]\n\n"
OPENING = [text("", index) for index in range(3)]
THREE = [text(f" t{i}", index) for i in range(5) for index in range(3)]
ENDS = {
    "llama.cpp, chat": [
        *(text(None, i, "length", timings=timings(20, 1, 5)) for i in range(3)),
    ],
    "llama.cpp, completions": [
        *(text("", i, "length", usage=usage(21, 5), timings=timings(20, 1, 5)) for i in range(3)),
    ],
    "llama.cpp, usage asked for": [
        *(text(None, i, "length") for i in range(3)),
        event([], usage=usage(21, 5), timings=timings(20, 1, 5)),
    ],
    "vLLM, usage asked for": [
        *(text("", i, "length", usage=None) for i in range(3)),
        event([], usage=usage(21, 15)),
    ],
    "vLLM, usage in each event": [
        *(text("", i, "length", usage=usage(21, 5)) for i in range(3)),
        event([], usage=usage(21, 15)),
    ],
    "vLLM, without usage": [*(text("", i, "length") for i in range(3))],
}


def told(body: bytes, places: list[int], ratios: TokenRatios, stream: bool = True) -> Usage | None:
    tokens = TokenUsage(stream)
    ends = sorted({min(place, len(body)) for place in places} | {len(body)})
    for begin, end in zip([0, *ends], ends, strict=False):
        tokens.feed(body[begin:end])
    return tokens.usage(ratios)


CUTS = st.lists(st.integers(0, 4000), max_size=8)


@pytest.mark.parametrize("server", ENDS)
@given(CUTS)
def test_three_choices_of_five_tokens_are_fifteen(server: str, places: list[int]) -> None:
    """llama.cpp says 5, of whichever choice; vLLM opens and ends each choice with no token."""
    body = b"".join(encode(one) for one in (*OPENING, *THREE, *ENDS[server], DONE))
    read = (None, 15, None) if server == "vLLM, without usage" else (21, 15, 20)
    assert told(body, places, TokenRatios()) == Usage(*read)


@given(CUTS)
def test_three_choices_of_a_document(places: list[int]) -> None:
    choices = [
        {"finish_reason": "length", "index": i, "message": {"content": " a b c d e" * 150}}
        for i in range(3)
    ]
    said = {"choices": choices, "model": "mid", "usage": usage(21, 5), "timings": timings(20, 1, 5)}
    ratios = TokenRatios()
    assert told(json.dumps(said).encode(), places, ratios, stream=False) == Usage(21, 15, 20)
    del said["timings"]
    said["usage"] = usage(21, 15)
    assert told(json.dumps(said).encode(), places, ratios, stream=False) == Usage(21, 15, 20)


def test_what_an_event_of_several_tokens_holds_is_learned_from_other_responses() -> None:
    """vLLM merges tokens: 20 come in 13 events."""
    merged = [text(" token" * n) for n in [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 2]]
    stream = b"".join((OPENING[0], *merged, text("", 0, "length")))
    ratios = TokenRatios()
    assert told(stream + DONE, [], ratios) == Usage(None, 13)  # nothing is known yet
    assert told(stream + event([], usage=usage(4, 20)) + DONE, [], ratios) == Usage(4, 20, 3)
    assert told(stream + DONE, [], ratios) == Usage(None, 20)
    short = b"".join((OPENING[0], text(" token token token"), text("", 0, "stop"), DONE))
    assert told(short, [], ratios) == Usage(None, 3)
    other = short.replace(b'"mid"', b'"other"')
    assert told(other, [], ratios) == Usage(None, 1)


def test_documents_teach_the_length_of_a_token_too() -> None:
    choice = {"finish_reason": "length", "index": 0, "message": {"content": " token" * 30}}
    said = {"choices": [choice], "model": "mid", "usage": usage(4, 30)}
    ratios = TokenRatios()
    assert told(json.dumps(said).encode(), [], ratios, stream=False) == Usage(4, 30, 3)
    assert told(b"".join((text(" token" * 7), DONE)), [], ratios) == Usage(None, 7)


def test_a_text_never_has_fewer_tokens_than_events() -> None:
    ratios = TokenRatios()
    ratios.learn(b"mid", 1, 100)
    assert told(b"".join((*[text("a")] * 9, DONE)), [], ratios) == Usage(None, 9)


def test_ratios_follow_what_clients_ask_for_and_take_no_memory_for_it() -> None:
    ratios = TokenRatios()
    for _ in range(2000):
        ratios.learn(b"mid", 100, 400)
    for _ in range(8000):
        ratios.learn(b"mid", 100, 200)
    assert ratios.tokens(b"mid", 1000, 1) == pytest.approx(500, rel=0.03)
    for number in range(10_000):
        ratios.learn(b"%d" % number, 1, 1)
    assert ratios.tokens(b"0", 10, 3) == 3


def test_anthropic_says_the_prompt_at_the_start_and_the_rest_at_the_end() -> None:
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 14, "output_tokens": 1}},
    }
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 99}}
    end = {"type": "message_delta", "usage": {"output_tokens": 400}}
    lines = [b"event: x\ndata: %b\n\n" % json.dumps(it).encode() for it in (start, end)]
    middle = b"event: x\ndata: %b\n\n" % json.dumps(delta).encode()
    assert told(b"".join((lines[0], *[middle] * 50, lines[1])), [], TokenRatios()) == Usage(14, 400)


def test_openai_responses_repeat_the_text_and_it_counts_once() -> None:
    delta = b'data: {"delta":" ab","type":"response.output_text.delta"}\n\n'
    done = b'data: {"text":" ab ab ab","type":"response.output_text.done"}\n\n'
    item = (
        b'data: {"item":{"content":[{"text":" ab ab ab"}]},"type":"response.output_item.done"}\n\n'
    )
    end = b'data: {"response":{"model":"m","usage":{"input_tokens":5,"output_tokens":6}},'
    end += b'"type":"response.completed"}\n\n'
    ratios = TokenRatios()
    assert told(delta * 3 + done + item, [], ratios) == Usage(None, 3)
    assert told(delta * 3 + done + item + end, [], ratios) == Usage(5, 6)


def test_a_line_without_an_end_takes_little_memory_and_its_usage_is_read() -> None:
    import tracemalloc

    tokens = TokenUsage(stream=True)
    tracemalloc.start()
    tokens.feed(b'data: {"text":"')
    for _ in range(2000):
        tokens.feed(b"x" * 1000)
    assert tracemalloc.get_traced_memory()[0] < 200_000
    tracemalloc.stop()
    tokens.feed(b'","usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n')
    assert tokens.usage(TokenRatios()) == Usage(3, 4)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None}, (9, 4, None)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 0}},
            (9, 0, 0),
        ),
        ({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 8}}, (9, 0, 8)),
        # Anthropic's `input_tokens` are those that were not cached.
        ({"input_tokens": 9, "cache_read_input_tokens": 100, "output_tokens": 4}, (109, 4, 100)),
    ],
)
def test_cached_tokens_are_those_of_the_prompt(
    said: dict[str, Any], read: tuple[int, int, int | None]
) -> None:
    body = json.dumps({"model": "mid", "usage": said}).encode()
    assert told(body, [], TokenRatios(), stream=False) == Usage(*read)
