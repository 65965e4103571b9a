"""Prompt of a request, from the bytes of its body, without a tokenizer.

What counts is which requests begin alike. The chat of one client, or the prompts of one program,
are written by one library: alike as text means alike as bytes, as far as one goes on the other. So
the bytes from the prompt on are cut into blocks, and the number of a block is the hash of the one
before it and of its bytes. A wrong guess of what is the prompt costs a cache hit, and nothing else.
"""

import json
import re
import zlib

from isocline.gateway.core.cache_index import token_blocks
from isocline.gateway.core.prompts import BLOCK_LENGTH, Prompt, text_blocks
from isocline.gateway.http.request_head import RequestHead

# Field with the prompt in OpenAI's and Anthropic's interfaces; within a text its quotes would be
# escaped. `input_ids` is SGLang's.
_PROMPT = re.compile(rb'(?<!\\)"(?:messages|prompt|input|input_ids)"\s*:\s*')
_TOKENS = re.compile(rb"\[[\s\d,]+\]")
_MODEL = re.compile(rb'(?<!\\)"model"\s*:\s*"([^"]{1,200})"')
# Bytes of a body that are read for its prompt; longer prompts are told apart by so much of them.
LONGEST = 262_144
# Of a prompt's blocks, those whose beginnings have keys: instructions are hardly longer than 32 kB.
_MOST_KEYS = 64
# Bytes that a body of unknown length, in chunks, is taken to have: 1 000 tokens.
UNKNOWN_LENGTH = 4_096


def may_have_prompt(head: RequestHead) -> bool:
    """Whether the body of a request can be read for its prompt as it comes."""
    return (
        head.method == b"POST"
        and bool(head.length)
        and head.get(b"content-encoding") is None  # whose bytes differ from the first difference on
    )


def read_prompt(
    body: bytes, length: int, token_block: int = 0, homes: bool = False
) -> Prompt | None:
    """Read the prompt in a body; None if there is none.

    Args:
        body: The body, as far as it has come.
        length: Bytes of all of it.
        token_block: Tokens in a block of a prompt that comes as tokens; 0: it is read as text.
        homes: Whether the prompt gets the keys of its home.
    """
    begin = _PROMPT.search(body)
    if begin is None:
        return None
    model = _MODEL.search(body)
    blocks = text_blocks(body, begin.end(), model[1] if model else b"")
    length = max(length - begin.end(), 0)
    tokens = read_tokens(body, begin.end()) if token_block else []
    known = tuple(token_blocks(tokens, token_block)) if tokens else ()
    keys = home_keys(body, begin.end(), model[1] if model else b"") if homes else ()
    return Prompt(length, blocks, tokens=len(tokens), token_blocks=known, keys=keys)


def home_keys(body: bytes, begin: int, model: bytes) -> tuple[int, ...]:
    """Checksums of the beginnings of the prompt there, the same in every process, as no hash is."""
    keys: list[int] = []
    number = zlib.crc32(model)
    end = min(len(body), begin + _MOST_KEYS * BLOCK_LENGTH)
    for at in range(begin, end - BLOCK_LENGTH + 1, BLOCK_LENGTH):
        number = zlib.crc32(body[at : at + BLOCK_LENGTH], number)
        keys.append(number)
    return tuple(keys)


def read_tokens(body: bytes, begin: int) -> list[int]:
    """Tokens of the prompt that begins there; empty if it comes as text, or has not come whole."""
    found = _TOKENS.match(body, begin)
    try:
        tokens: list[int] = json.loads(found[0]) if found else []
    except ValueError:  # commas without numbers between
        return []
    return tokens


def session_prompt(session: bytes, length: int) -> Prompt:
    """Prompt of a request whose session is named: all of it counts as known where that was."""
    return Prompt(length, (hash(session),), max(length, 1), keys=(zlib.crc32(session),))
