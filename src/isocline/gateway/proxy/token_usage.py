"""Tokens of a response, read in passing: no body is held.

In this order:

1. `usage`, as OpenAI's chat and completions have it, its responses, or Anthropic's messages;
2. `timings`, with which llama.cpp ends each choice of a stream;
3. the length of the text, by the tokens for each byte that its model's other responses had: a
   server may put several tokens into one event, as vLLM does when the router reads slowly;
4. events with a text, a token each, as long as nothing is known of its model.

**Several choices** (`n`) are so many sequences for the backend, and their tokens are all work. The
`usage` of OpenAI and vLLM is the sum over choices; llama.cpp's numbers are those of one choice,
wherever they stand, and are added up here.
"""

import re
from typing import final

from isocline.gateway.core.request_cost import Usage
from isocline.gateway.proxy.token_ratios import TokenRatios

# Bodies that are no streams have `usage` last, and what follows it is short. Of a line of a stream
# whose end has not come as much is kept, and of a longer one its last part.
_TAIL, _LINE = 2048, 65_536  # bytes
_SHORT = 16  # of a line that says something
# Within a generated text its quotes would be escaped.
USAGE = re.compile(rb'"usage"\s*:\s*\{')
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*([0-9]{1,12})\b')
_OUTPUT = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*([0-9]{1,12})\b')
_TIMINGS = re.compile(rb'"timings"\s*:\s*\{')
_PREDICTED = re.compile(rb'"predicted_n"\s*:\s*([0-9]{1,12})\b')
_READ = re.compile(rb'"(?:prompt|cache)_n"\s*:\s*([0-9]{1,12})\b')
# Of the prompt, not read again. Anthropic's `input_tokens` are without them; others' are with them.
_CACHED = re.compile(rb'"cached_tokens"\s*:\s*([0-9]{1,12})\b')
_CACHED_BESIDE = re.compile(rb'"cache_read_input_tokens"\s*:\s*([0-9]{1,12})\b')
_CACHED_BY_LLAMA = re.compile(rb'"cache_n"\s*:\s*([0-9]{1,12})\b')
_TEXT = re.compile(
    rb'"(?:content|text|reasoning|reasoning_content|thinking|refusal|delta|arguments|partial_json)"'
    rb'\s*:\s*"((?:[^"\\]|\\.)+)"'
)
_MODEL = re.compile(rb'"model"\s*:\s*"([^"]{1,200})"')
NO_CHOICE = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_INDEX = re.compile(rb'"choices"\s*:\s*\[\s*\{[^\[\]]*?"index"\s*:\s*([0-9]{1,4})\b')
_FINISH, _EDGE = b'"finish_reason"', 14  # as long as a part of it may be that ends a piece
_ALL = -1  # in place of a choice's index: of all of them


@final
class TokenUsage:
    """Token usage of one response."""

    __slots__ = (
        "_events",
        "_finished",
        "_length",
        "_llama",
        "_model",
        "_repeats",
        "_reported",
        "_rest",
        "_stream",
    )

    def __init__(self, stream: bool) -> None:
        """Initialise; `stream`: server-sent events, else one document."""
        self._stream = stream
        self._rest = b""  # a stream's last line, or a document's tail
        self._reported: dict[int, Usage] = {}  # by choice
        self._llama = False  # what is reported is of one choice
        self._finished = 0  # choices
        self._events = 0  # that have a text
        self._length = 0  # bytes of it, as JSON has them
        self._model = b""
        self._repeats = False  # events of OpenAI's responses, some of which repeat what was there

    def feed(self, data: bytes) -> None:
        """Read more of the body, in chunks or without."""
        if not self._stream:
            self._finished += (self._rest[-_EDGE:] + data).count(_FINISH)
            self._rest = data[-_TAIL:] if len(data) >= _TAIL else (self._rest + data)[-_TAIL:]
            return
        lines = (self._rest + data).split(b"\n")
        rest = lines.pop()
        self._rest = rest if len(rest) <= _LINE else rest[-_TAIL:]
        for line in lines:
            if len(line) < _SHORT:
                continue
            if line.startswith(b"data:"):
                self._read_text(line)
            if b'"usage"' in line or b'"timings"' in line:
                self._read_usage(line)

    def usage(self, ratios: TokenRatios) -> Usage | None:
        """Usage from the response, or from `ratios` of its text, which learn from given usage.

        None if nothing can be read, as when the body is compressed.
        """
        if not self._stream:
            self._read_document()
        reported = self._sum()
        if reported is not None:
            if self._length and reported.output:
                ratios.learn(self._model, reported.output, self._length)
            return reported
        if not self._events:
            return None
        return Usage(None, ratios.tokens(self._model, self._length, self._events))

    def _read_text(self, line: bytes) -> None:
        if not self._model:
            model = _MODEL.search(line)
            self._model = model[1] if model else b""
            self._repeats = self._repeats or b'"response' in line
        if self._repeats and b'.delta"' not in line:
            return
        length = 0
        for text in _TEXT.findall(line):
            length += len(text)
        if length:
            self._events += 1
            self._length += length
        elif b'"finish_reason":"' in line or b'"finish_reason": "' in line:
            self._finished += 1  # llama.cpp ends each choice in an event of its own

    def _read_document(self) -> None:
        tail = self._rest
        model = _MODEL.search(tail)
        if len(tail) < _TAIL and model:  # it is there as a whole
            self._model = model[1]
            self._length = sum(map(len, _TEXT.findall(tail)))
        if b'"usage"' in tail or b'"timings"' in tail:
            self._read_usage(tail)

    def _read_usage(self, text: bytes) -> None:
        """Read the usage of one event, or of a document's tail; the last one counts."""
        usage, timings = _last(USAGE, text), _last(_TIMINGS, text)
        choice = _ALL
        if self._stream and not NO_CHOICE.search(text):
            index = _INDEX.search(text)
            choice = int(index[1]) if index else _ALL
        before = self._reported.get(choice)
        prompt = None if before is None else before.prompt
        cached = None if before is None else before.cached
        if timings is not None:
            self._llama = True
            predicted = _PREDICTED.search(timings)
            if predicted:
                prompt = sum(map(int, _READ.findall(timings)))
                cached = _number(_CACHED_BY_LLAMA, timings)
                self._reported[choice] = Usage(prompt, int(predicted[1]), cached)
        if usage is not None:
            read, output = _PROMPT.search(usage), _OUTPUT.search(usage)
            if read or output:
                prompt = int(read[1]) if read else prompt
                beside, within = _number(_CACHED_BESIDE, usage), _number(_CACHED, usage)
                if beside is not None:
                    cached, prompt = beside, (prompt or 0) + beside
                elif within is not None:
                    cached = within
                self._reported[choice] = Usage(prompt, int(output[1]) if output else 0, cached)

    def _sum(self) -> Usage | None:
        """Sum over choices."""
        reported = self._reported
        if not reported:
            return None
        prompts = [one.prompt for one in reported.values() if one.prompt is not None]
        prompt = max(prompts) if prompts else None
        told = [one.cached for one in reported.values() if one.cached is not None]
        cached = min(max(told), prompt) if told and prompt is not None else None
        of_all = reported.get(_ALL)
        choices = [one.output for choice, one in reported.items() if choice != _ALL]
        if self._llama:
            if of_all is None or len(choices) >= self._finished > 0:
                return Usage(prompt, sum(choices), cached)
            return Usage(prompt, of_all.output * max(self._finished, 1), cached)
        return Usage(prompt, sum(choices) if of_all is None else of_all.output, cached)


def _number(pattern: re.Pattern[bytes], text: bytes) -> int | None:
    """Number that a pattern finds first; None if it does not."""
    found = pattern.search(text)
    return int(found[1]) if found else None


def _last(pattern: re.Pattern[bytes], text: bytes) -> bytes | None:
    """Text after the last match; None if there is none."""
    found = None
    for match in pattern.finditer(text):
        found = match
    return None if found is None else text[found.end() :]
