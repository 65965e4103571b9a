"""Incremental JSON reader for one field: the text of the top-level `model`.

A request's body may be hundreds of megabytes of image in one string, or as many brackets, and it
comes in parts of any size. A parser that builds the document takes up to thirty times its size and
holds up the event loop; so the grammar (RFC 8259) is checked by expressions that run in C over
each part as it comes, nothing is built, and of the text only a name or key that may matter is kept.
Accepted beyond the grammar is what Python's own reader accepts, as backends in Python do: NaN,
Infinity, and a byte order mark.
"""

import json
import re
import sys
from codecs import getincrementaldecoder
from typing import Final, final

from isocline.gateway.http.unreadable import LONGEST_MODEL, TOO_LONG, UnreadableError

# Python before 3.11.5 matches a group repeated possessively wrongly where its last turn fails half
# way (python/cpython#106052). Greedily it is right, and of few turns, or it would take much memory.
_KEEPS = sys.version_info >= (3, 11, 5)
_REPEATED, _MANY = ("*+", "*+") if _KEEPS else ("*", "{0,64}")
_SPACE = r"[ \t\n\r]*+"
_CONTENT = r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)' + _REPEATED
_NUMBER = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_LITERAL = r"true|false|null|NaN|-?Infinity"
_SCALAR = rf'(?:"{_CONTENT}"|{_NUMBER}|{_LITERAL})'


def _list_of(item: str) -> str:
    return rf"(?:{_SPACE}{item}{_SPACE},){_MANY}"


_MEMBER = rf'"{_CONTENT}"{_SPACE}:{_SPACE}{_SCALAR}'
_ITEMS, _MEMBERS = _list_of(_SCALAR), _list_of(_MEMBER)
# A scalar, or a list or object of scalars, as the messages of a chat are.
_FLAT = (
    rf"(?:{_SCALAR}|\[(?:{_ITEMS}{_SPACE}{_SCALAR})?{_SPACE}\]"
    rf"|\{{(?:{_MEMBERS}{_SPACE}{_MEMBER})?{_SPACE}\}})"
)
# As many whole members of a list or an object as there are, each with the comma after it: most of a
# body passes here, at the speed of C. A key that may be `model`, be it by its escapes, does not.
_MANY_ITEMS = re.compile(_list_of(_FLAT))
_OTHER_KEY = r'"(?!model")[^"\\\x00-\x1f]*+"'
_MANY_MEMBERS = re.compile(_list_of(rf"{_OTHER_KEY}{_SPACE}:{_SPACE}{_FLAT}"))

_SPACES = re.compile(_SPACE)
_IN_STRING = re.compile(_CONTENT)
_CUT_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?")
_WORD = re.compile(_LITERAL)
_DIGITS = re.compile(_NUMBER)
_NUMERIC = re.compile(r"[-+.0-9eE]*+")
_LONGEST_LITERAL = len("-Infinity")
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
# The start of a number, and the shortest start that the same may follow: so much of it is kept.
_CUT_NUMBERS = tuple(
    (re.compile(start), shortest)
    for start, shortest in (
        (r"-", "-"),
        (r"-?0", "0"),
        (r"-?[1-9][0-9]*+", "1"),
        (r"-?[0-9]++\.", "0."),
        (r"-?[0-9]++\.[0-9]++", "0.0"),
        (r"-?[0-9]++(?:\.[0-9]++)?[eE]", "0e"),
        (r"-?[0-9]++(?:\.[0-9]++)?[eE][+-]", "0e+"),
        (r"-?[0-9]++(?:\.[0-9]++)?[eE][+-]?[0-9]++", "0e0"),
    )
)
_LONGEST_KEY = 5 * 6  # characters of `model`, each escaped
_LONGEST_TEXT = LONGEST_MODEL * 12  # characters of a name, each escaped as two (UTF-16)
_DEEPEST = 1000  # levels, as Python's own reader; Rust's and Go's stop at 128 and 10 000
_UTF8 = getincrementaldecoder("utf-8-sig")
_NOT_JSON = "the body is not JSON: {}"

# Expected next.
_VALUE: Final = 0
_VALUE_OR_END: Final = 1  # of a list
_KEY: Final = 2
_KEY_OR_END: Final = 3  # of an object
_COLON: Final = 4
_COMMA_OR_END: Final = 5
_REST_OF_STRING: Final = 6

# Python refuses to make an int of more than 4300 digits; a float it makes of any number of them.
_DECODER = json.JSONDecoder(parse_int=float)


def model_of(body: bytes) -> str:
    """Read the model of a whole short document, in a third of the time that `JsonModel` takes.

    The answer is that of `JsonModel`; raises UnreadableError.
    """
    try:
        document = _DECODER.decode(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        document = None
    model = document.get("model") if isinstance(document, dict) else None
    if isinstance(model, str) and len(model) <= LONGEST_MODEL:
        return model
    reader = JsonModel()  # says what is wrong
    reader.feed(body)
    return reader.end()


@final
class JsonModel:
    """Reader of the `model` of a document in parts.

    Of two top-level members of that name the last counts, as for every common JSON reader, so that
    the whole document has to be read.
    """

    __slots__ = (
        "_caught",
        "_decoder",
        "_expected",
        "_is_key",
        "_is_model",
        "_model",
        "_open",
        "_passed",
        "_remaining",
        "_rest",
        "_why",
    )

    def __init__(self) -> None:
        self._decoder = _UTF8()
        self._expected = _VALUE
        self._open: list[bool] = []  # containers around the current place; True: an object
        self._passed = 0  # characters before those at hand
        self._rest = ""  # the start of something that is not whole
        self._is_key = False  # the string at hand
        self._is_model = False  # the top-level key at hand
        self._caught: list[str] = []  # pieces of a string that may matter
        # Characters that may still be caught; below 0: none are, or too many came.
        self._remaining = -1
        self._model: str | None = None
        self._why = "the body is not an object with a field `model`"

    def feed(self, data: bytes) -> None:
        """Read the next part; raises UnreadableError if this is not JSON."""
        self._read(data, last=False)

    def end(self) -> str:
        """Return the model after the last part; raises UnreadableError."""
        self._read(b"", last=True)
        if self._expected == _VALUE and not self._open:
            raise UnreadableError("the body is empty")
        if self._expected != _COMMA_OR_END or self._open:
            raise UnreadableError(_NOT_JSON.format("it ends too early"))
        if self._model is None:
            raise UnreadableError(self._why)
        return self._model

    def _read(self, data: bytes, last: bool) -> None:
        try:
            text = self._decoder.decode(data, last)
        except UnicodeDecodeError:
            raise UnreadableError(_NOT_JSON.format("it is not UTF-8")) from None
        if self._rest:
            text, self._rest = self._rest + text, ""
        if last:
            text += " "  # ends a number
        at, end = 0, len(text)
        while at < end:
            at = self._step(text, at)
        self._passed += end - len(self._rest)

    # Each step begins at a place of the text, and returns the place after it; where what stands
    # there is not whole, that is kept, and the step returns the end.

    def _step(self, text: str, at: int) -> int:
        expected = self._expected
        if expected == _REST_OF_STRING:
            return self._rest_of_string(text, at)
        if expected in (_KEY, _KEY_OR_END):
            return self._key(text, at)
        if expected in (_VALUE, _VALUE_OR_END):
            return self._value(text, at)
        at = _end_of(_SPACES, text, at)
        if at == len(text):
            return at
        if expected == _COMMA_OR_END:
            return self._comma_or_end(text, at)
        if text[at] != ":":
            raise self._wrong(at)
        self._expected = _VALUE
        return at + 1

    def _key(self, text: str, at: int) -> int:
        start = at
        at = _end_of(_MANY_MEMBERS, text, at)
        if at > start:
            self._expected = _KEY
        at = _end_of(_SPACES, text, at)
        if at == len(text):
            return at
        if text[at] == "}" and self._expected == _KEY_OR_END:
            return self._close(at)
        if text[at] != '"':
            raise self._wrong(at)
        self._begin_string(is_key=True, room=_LONGEST_KEY if len(self._open) == 1 else -1)
        return at + 1

    def _value(self, text: str, at: int) -> int:
        if self._open and not self._open[-1]:
            start = at
            at = _end_of(_MANY_ITEMS, text, at)
            if at > start:
                self._expected = _VALUE
        at = _end_of(_SPACES, text, at)
        if at == len(text):
            return at
        sign = text[at]
        if sign == "]" and self._expected == _VALUE_OR_END:
            return self._close(at)
        is_model = self._is_model and len(self._open) == 1
        if sign == '"':
            self._begin_string(is_key=False, room=_LONGEST_TEXT if is_model else -1)
            return at + 1
        if is_model:
            self._model, self._why = None, "`model` is not text"
        if sign in "{[":
            if len(self._open) == _DEEPEST:
                raise UnreadableError(f"the body is nested more than {_DEEPEST} levels deep")
            self._open.append(sign == "{")
            self._expected = _KEY_OR_END if sign == "{" else _VALUE_OR_END
            return at + 1
        return self._word(text, at)

    def _word(self, text: str, at: int) -> int:
        """Read a literal or a number."""
        stop = _end_of(_WORD, text, at)
        if stop == at:
            stop = _end_of(_NUMERIC, text, at)
            if stop == len(text):
                return self._keep(text, at, _shortened(text[at:]))
            if _DIGITS.fullmatch(text, at, stop) is None:
                return self._keep(text, at, _start_of_literal(text[at : at + _LONGEST_LITERAL]))
        self._expected = _COMMA_OR_END
        return stop

    def _comma_or_end(self, text: str, at: int) -> int:
        if not self._open:
            raise self._wrong(at)
        sign, is_object = text[at], self._open[-1]
        if sign == ",":
            self._expected = _KEY if is_object else _VALUE
            return at + 1
        if sign != ("}" if is_object else "]"):
            raise self._wrong(at)
        return self._close(at)

    def _close(self, at: int) -> int:
        self._open.pop()
        self._expected = _COMMA_OR_END
        return at + 1

    def _begin_string(self, is_key: bool, room: int) -> None:
        self._expected = _REST_OF_STRING
        self._is_key, self._remaining = is_key, room
        self._caught = []

    def _rest_of_string(self, text: str, at: int) -> int:
        stop = _end_of(_IN_STRING, text, at)
        if self._remaining >= 0:
            self._remaining -= stop - at
            self._caught.append(text[at:stop])
        if stop == len(text):
            return stop
        if text[stop] == '"':
            self._end_string()
            return stop + 1
        cut = _CUT_ESCAPE.fullmatch(text, stop)
        return self._keep(text, stop, None if cut is None else cut[0])

    def _end_string(self) -> None:
        at_top = len(self._open) == 1
        if self._is_key:
            self._expected = _COLON
            if at_top:
                self._is_model = self._remaining >= 0 and _unescaped(self._caught) == "model"
            return
        self._expected = _COMMA_OR_END
        if at_top and self._is_model:
            self._model = _unescaped(self._caught) if self._remaining >= 0 else None
            if self._model is None or len(self._model) > LONGEST_MODEL:
                self._model, self._why = None, TOO_LONG

    def _keep(self, text: str, at: int, rest: str | None) -> int:
        """Keep an incomplete token; None: it is the start of nothing."""
        if rest is None:
            raise self._wrong(at)
        self._rest = rest
        return len(text)

    def _wrong(self, at: int) -> UnreadableError:
        place = f"unexpected character at position {self._passed + at}"
        return UnreadableError(_NOT_JSON.format(place))


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the end of a pattern's match at a place; the place itself if there is none."""
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _shortened(start: str) -> str | None:
    for pattern, shortest in _CUT_NUMBERS:
        if pattern.fullmatch(start):
            return shortest
    return None


def _start_of_literal(start: str) -> str | None:
    return start if any(it.startswith(start) for it in _LITERALS) else None


def _unescaped(pieces: list[str]) -> str:
    text: str = json.loads('"' + "".join(pieces) + '"')
    return text
