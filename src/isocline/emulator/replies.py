"""Bytes of answers: HTTP/1.1 (RFC 9112), server-sent events, OpenAI's objects."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from isocline.emulator.completion_request import ApiError, CompletionRequest

# Written once: the text of a token says nothing, and no request needs another.
TOKEN = " token"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
EVENTS = "text/event-stream; charset=utf-8"
LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def head(status: int, content_type: str, length: int | None, chunks: bool, *more: str) -> bytes:
    """Status line and header, with `more` lines.

    A body without a length is in chunks, or ends with the connection if the client knows no chunks.
    """
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"content-type: {content_type}"]
    if length is not None:
        lines.append(f"content-length: {length}")
    elif chunks:
        lines.append("transfer-encoding: chunked")
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of chunked coding (RFC 9112, Section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return f"data: {_text(data)}\n\n".encode()


def whole(completion: CompletionRequest, name: str, created: int) -> bytes:
    """The body of an answer that is not streamed."""
    said = TOKEN * completion.output_tokens
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": "length"}
    choice |= (
        {"message": {"role": "assistant", "content": said}} if completion.chat else {"text": said}
    )
    kind = "chat.completion" if completion.chat else "text_completion"
    return _text(
        _object(completion, name, created, kind, [choice]) | {"usage": usage(completion)}
    ).encode()


def part(
    completion: CompletionRequest,
    name: str,
    created: int,
    text: str | None,
    reason: str | None = None,
) -> bytes:
    """The event of one token, of the opening (text "") or of the end (text None)."""
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": reason}
    if completion.chat:
        choice["delta"] = {} if text is None else {"content": text}
        if text == "":
            choice["delta"]["role"] = "assistant"
    else:
        choice["text"] = text or ""
    return event(_object(completion, name, created, _streamed(completion), [choice]))


def usage_part(completion: CompletionRequest, name: str, created: int) -> bytes:
    """The event that says how many tokens there were, without a choice."""
    return event(
        _object(completion, name, created, _streamed(completion), []) | {"usage": usage(completion)}
    )


def usage(completion: CompletionRequest) -> dict[str, Any]:
    """The tokens read and written; of the prompt, those that were cached, if there is a cache."""
    told: dict[str, Any] = {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.output_tokens,
        "total_tokens": completion.prompt_tokens + completion.output_tokens,
    }
    if completion.cached_tokens is not None:
        told["prompt_tokens_details"] = {"cached_tokens": completion.cached_tokens}
    return told


def error(problem: ApiError) -> bytes:
    """The body of an error, as OpenAI's and vLLM's servers write it."""
    said = {"message": str(problem), "type": problem.kind, "param": None, "code": problem.status}
    return _text({"error": said}).encode()


def models(names: Iterable[str], created: int) -> bytes:
    """The body of GET /v1/models."""
    same = {"object": "model", "created": created, "owned_by": "isocline"}
    return _text({"object": "list", "data": [{"id": name} | same for name in names]}).encode()


def _streamed(completion: CompletionRequest) -> str:
    return "chat.completion.chunk" if completion.chat else "text_completion"


def _object(
    completion: CompletionRequest, name: str, created: int, kind: str, choices: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": name,
        "object": kind,
        "created": created,
        "model": completion.model,
        "choices": choices,
    }


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))
