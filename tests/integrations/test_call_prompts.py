"""Prompts of calls: wherever a deployment's interface has them, alike means alike."""

from dataclasses import dataclass
from typing import Any

import pytest

from isocline.gateway.core.prompts import BLOCK_LENGTH
from isocline.integrations.call_prompts import prompt_of

LONG = "Once upon a time. " * 100


@dataclass
class Chat:
    messages: list[Any]


@dataclass
class Message:
    role: str
    content: Any


@dataclass
class Completion:
    prompt: str | list[str]


SAME = [
    (LONG,),
    (Completion(LONG),),
    (Completion([LONG[:100], LONG[100:]]),),
    ({"prompt": LONG},),
    ({"input": LONG},),
    (Chat([Message("user", LONG)]),),
    (Chat([{"role": "user", "content": LONG}]),),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": LONG}]}]},),
    (17, {"messages": [{"role": "user", "content": LONG}]}),
]


@pytest.mark.parametrize("args", SAME)
def test_it_is_found_in_arguments_of_many_kinds(args: tuple[Any, ...]) -> None:
    found = prompt_of(args, {})
    assert found == prompt_of((), {"prompt": LONG})
    assert found is not None
    assert len(found.blocks) == found.length // BLOCK_LENGTH == len(LONG) // BLOCK_LENGTH


@pytest.mark.parametrize("args", [(), (17,), (None, b"bytes"), ({"messages": []},), ("",)])
def test_there_may_be_none(args: tuple[Any, ...]) -> None:
    assert prompt_of(args, {}) is None


@pytest.mark.parametrize("content", [None, 5, [{"type": "image_url"}], b"bytes"])
def test_what_is_no_text_counts_as_none(content: Any) -> None:
    chat = Chat([Message("user", content), Message("user", LONG)])
    assert prompt_of((chat,), {}) == prompt_of((LONG,), {})


def test_prompts_that_begin_alike_share_their_first_blocks() -> None:
    one, other = prompt_of((LONG + "a" * 600,), {}), prompt_of((LONG + "b" * 600,), {})
    assert one is not None
    assert other is not None
    shared = len(LONG) // BLOCK_LENGTH
    assert one.blocks[:shared] == other.blocks[:shared]
    assert set(one.blocks[shared:]).isdisjoint(other.blocks[shared:])


def test_a_prompt_to_another_model_is_another() -> None:
    one, other = prompt_of((LONG,), {}, "a"), prompt_of((LONG,), {}, "b")
    assert one is not None
    assert other is not None
    assert set(one.blocks).isdisjoint(other.blocks)


def test_a_session_stands_for_its_prompts() -> None:
    first, second = (prompt_of((text,), {}, session="s1") for text in (LONG, "short"))
    assert first is not None
    assert second is not None
    assert first.blocks == second.blocks
    assert (first.length, second.length) == (len(LONG), 5)
    assert prompt_of((), {}, session="s1") is not None


def test_the_end_of_a_very_long_prompt_counts_by_its_length() -> None:
    found = prompt_of(("x" * 1_000_000,), {})
    assert found is not None
    assert found.length == 1_000_000
    assert len(found.blocks) == 512
