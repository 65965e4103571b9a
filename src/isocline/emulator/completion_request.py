"""Completion request of OpenAI's API, as far as an emulation uses it."""

import json
from dataclasses import dataclass
from typing import Any, final

from isocline.arguments import whole_number
from isocline.emulator.settings import Settings


@final
class ApiError(Exception):
    """A request that is answered with an error, in the form OpenAI's clients know."""

    def __init__(
        self, status: int, message: str, kind: str = "BadRequestError", allow: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.allow = allow  # methods, for 405 (RFC 9110, Section 15.5.6)


@final
@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Parameters of one completion."""

    chat: bool
    model: str
    prompt: Any  # text, messages, or tokens
    prompt_tokens: int
    output_tokens: int
    stream: bool
    usage_at_end: bool  # in a stream (stream_options.include_usage)
    cached_tokens: int | None = None  # of the prompt; None: the server has no cache


def read_completion(body: bytes, chat: bool, settings: Settings) -> CompletionRequest:
    """Read the body of /v1/chat/completions or /v1/completions.

    Raises:
        ApiError: It is not JSON, misses what is required, asks for more than one answer or for more
            tokens than the model has (400), or for another model (404).
    """
    try:
        data = json.loads(body, parse_int=whole_number)
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ApiError(400, "the body is not a JSON object")
    if data.get("n") not in {None, 1}:
        raise ApiError(400, "n: this server gives one answer; leave n out")
    prompt = _prompt_tokens(data, chat)
    output = _output_tokens(data, settings.output_tokens)
    if prompt + output > settings.max_model_len:
        raise ApiError(
            400,
            f"the model's context is {settings.max_model_len} tokens; "
            f"the request asks for {prompt} of prompt and {output} of output",
        )
    stream = _flag(data, "stream")
    options = data.get("stream_options") or {}
    usage = isinstance(options, dict) and options.get("include_usage") is True
    return CompletionRequest(
        chat,
        _model(data, () if settings.loadable else settings.models),
        data["messages" if chat else "prompt"],
        prompt,
        output,
        stream,
        stream and usage,
    )


def _model(data: dict[str, Any], served: tuple[str, ...]) -> str:
    model = data.get("model")
    if not isinstance(model, str):
        raise ApiError(400, "model: give the name of a model")
    if served and model not in served:
        raise ApiError(404, f"the model {model!r} does not exist", "NotFoundError")
    return model


def _flag(data: dict[str, Any], key: str) -> bool:
    value = data.get(key)
    if not isinstance(value, bool | None):
        raise ApiError(400, f"{key}: give true or false")
    return bool(value)


def _output_tokens(data: dict[str, Any], default: int) -> int:
    for key in ("max_completion_tokens", "max_tokens"):
        value = data.get(key)
        if value is not None:
            if type(value) is not int or value < 1:
                raise ApiError(400, f"{key}: give a whole number above 0")
            return value
    return default


def _prompt_tokens(data: dict[str, Any], chat: bool) -> int:
    key = "messages" if chat else "prompt"
    given = data.get(key)
    if not isinstance(given, list if chat else str | list) or not given:
        raise ApiError(400, f"{key}: is missing or empty")
    return max(_tokens_in(given), 1)


def _tokens_in(value: Any) -> int:
    """Numbers are tokens; of text, four characters are about one (OpenAI's rule of thumb)."""
    if isinstance(value, str):
        return -(-len(value) // 4)
    if isinstance(value, list):
        return sum(_tokens_in(part) for part in value)
    if isinstance(value, dict):  # a message, or a part of one
        return _tokens_in(value.get("content") or value.get("text") or "")
    return 1
