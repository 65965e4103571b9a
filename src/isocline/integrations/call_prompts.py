"""Prompt of a call, by its arguments.

It is in a field `messages`, `prompt` or `input` of an argument, be that a mapping or an object, or
an argument is text. A call of a session counts as known where that was, whatever its prompt.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isocline.gateway.core.prompts import Prompt, text_blocks

_FIELDS = ("messages", "prompt", "input")
# Characters by which prompts are told apart; what follows counts by its length.
_LONGEST = 262_144


def prompt_of(
    args: Sequence[Any], kwargs: Mapping[str, Any], model: str = "", session: str = ""
) -> Prompt | None:
    """Prompt of a call with these arguments; None if there is none.

    Args:
        args: Positional arguments.
        kwargs: Named ones.
        model: Name of the model that is to answer: the same text is another prompt to another.
        session: Name of the session; empty: it has none.
    """
    text = _text_of(args, kwargs)
    if session:
        length = max(len(text.encode()), 1)
        return Prompt(length, (hash((model, session)),), length)
    if not text:
        return None
    beginning = text[:_LONGEST].encode()
    length = len(beginning) + max(len(text) - _LONGEST, 0)
    return Prompt(length, text_blocks(beginning, model=model.encode()))


def _text_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    for argument in (kwargs, *args):
        if isinstance(argument, str):
            return argument
        for name in _FIELDS:
            value = _field(argument, name)
            if value is not None:
                return "".join(_texts(value))
    return ""


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _texts(value: Any) -> Iterable[str]:
    """Texts in a prompt, in a list of them, or in messages with contents or parts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for each in value:
            yield from _texts(each)
    else:
        for name in ("content", "text"):
            yield from _texts_in(_field(value, name))


def _texts_in(value: Any) -> Iterable[str]:
    return () if value is None else _texts(value)
