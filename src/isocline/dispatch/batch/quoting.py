"""Substitution of `{path}` in a shell command, by the quoting rules of the shell (POSIX.1, 2.2).

The path goes to the shell as the variable CHUNK_PATH, so what stands in it is never read as shell
text. What may still go wrong is quoting: a variable outside double quotes is split at spaces and
expanded as a pattern, and `"$CHUNK_PATH"` put between double quotes of the user's stands outside of
them. The scanner below knows where quotes begin and end. Where it cannot know, or where another
program would read the path again as text of its own, as in `sh -c "rm {path}"`, the command is
refused: a wrong guess would name other files.
"""

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import final

from isocline.errors import UsageError

PLACE = "{path}"
VARIABLE = "CHUNK_PATH"

_REMEDY = f'write {PLACE} outside of quotes, where it is one word, or use "${VARIABLE}"'
_BLANKS = frozenset(" \t\n;&|()")
_OTHER_WORDS = frozenset(" \t\n;&|()<>'`")
_CASE = re.compile(r"case\s")


class QuotingError(UsageError):
    """`{path}` stands where it cannot be replaced safely; the message says where, and a remedy."""


class _Kind(Enum):
    DOUBLE = auto()  # "..."
    PARENTHESIS = auto()  # (...) and $(...)
    BRACE = auto()  # ${...}


@dataclass(slots=True)
class _Open:
    """Open quote or bracket."""

    kind: _Kind
    literal: list[str] = field(default_factory=list)  # characters of a string in double quotes
    named: bool = False  # the string has the path in it


def with_path(command: str) -> str:
    """Replace each `{path}` in a command by the shell's variable, always as one word.

    Raises:
        QuotingError: It stands in single quotes, among other words in double quotes, in backquotes,
            after a backslash, in a here-document, or as a variable of the shell's.
    """
    return _Scanner(command).scanned() if PLACE in command else command


@final
class _Scanner:
    """One pass through a command."""

    def __init__(self, command: str) -> None:
        self._text = command
        self._at = 0
        self._out: list[str] = []
        self._open: list[_Open] = []
        self._here_document = False
        self._unsure = ""  # why what follows cannot be read reliably

    def scanned(self) -> str:
        while self._at < len(self._text):
            if self._text.startswith(PLACE, self._at):
                self._place()
            elif self._kind is _Kind.DOUBLE:
                self._in_double_quotes()
            else:
                self._unquoted()
        return "".join(self._out)

    @property
    def _kind(self) -> _Kind | None:
        return self._open[-1].kind if self._open else None

    def _place(self) -> None:
        if self._unsure:
            raise QuotingError(f"{PLACE} stands {self._unsure}; {_REMEDY}")
        if any(each.kind is _Kind.BRACE for each in self._open):
            raise QuotingError(f"{PLACE} stands within ${{...}} of the shell; {_REMEDY}")
        self._at += len(PLACE)
        if self._kind is _Kind.DOUBLE:
            self._open[-1].named = True
            self._out.append(f"${{{VARIABLE}}}")
        else:
            self._out.append(f'"${VARIABLE}"')

    def _in_double_quotes(self) -> None:
        match self._text[self._at]:
            case '"':
                self._close_quotes()
            case "\\":
                self._escape()
            case "$":
                self._dollar()
            case "`":
                self._verbatim("`", "in backquotes; put $(...) in their place, or")
            case other:
                self._open[-1].literal.append(other)
                self._take(1)

    def _close_quotes(self) -> None:
        closed = self._open.pop()
        if closed.named and not _OTHER_WORDS.isdisjoint(closed.literal):
            raise QuotingError(
                f"{PLACE} stands among other words in double quotes, where another program may "
                f"read it again; {_REMEDY}"
            )
        self._take(1)

    def _unquoted(self) -> None:
        match self._text[self._at]:
            case '"':
                self._begin(_Kind.DOUBLE, 1)
            case "'":
                self._verbatim("'", "in single quotes;")
            case "`":
                self._verbatim("`", "in backquotes; put $(...) in their place, or")
            case "\\":
                self._escape()
            case "$":
                self._dollar()
            case "(":
                self._begin(_Kind.PARENTHESIS, 1)
            case ")" if self._kind is _Kind.PARENTHESIS:
                self._end()
            case "}" if self._kind is _Kind.BRACE:
                self._end()
            case "#" if self._begins_word():
                self._comment()
            case _:
                self._doubt()
                self._take(1)

    def _doubt(self) -> None:
        """Detect constructs after which this scanner cannot read reliably."""
        match self._text[self._at]:
            case "<" if self._text.startswith("<<", self._at):
                self._here_document = True
            case "\n" if self._here_document:
                self._unsure = "after a here-document"
            case "c" if self._begins_word() and self._open and _CASE.match(self._text, self._at):
                self._unsure = "after a case within parentheses"

    def _dollar(self) -> None:
        rest = self._text[self._at + 1 :]
        if rest.startswith(PLACE):
            raise QuotingError(f"${PLACE} is a variable of the shell; give that another name")
        match rest[:1]:
            case "(":
                self._begin(_Kind.PARENTHESIS, 2)
            case "{":
                self._begin(_Kind.BRACE, 2)
            case "'" if self._kind is not _Kind.DOUBLE:
                self._unsure = "after $'...', which shells read differently"
                self._take(1)
            case '"' | "":
                self._take(1)
            case _:
                self._take(2)

    def _escape(self) -> None:
        if self._text.startswith(PLACE, self._at + 1):
            raise QuotingError(f"{PLACE} stands after a backslash; leave that out")
        self._take(2)

    def _verbatim(self, quote: str, where: str) -> None:
        """Skip to the closing quote; in backquotes a backslash may stand before one that is not."""
        end = self._at + 1
        while end < len(self._text) and self._text[end] != quote:
            end += 2 if quote == "`" and self._text[end] == "\\" else 1
        if PLACE in self._text[self._at : end]:
            raise QuotingError(f"{PLACE} stands {where} {_REMEDY}")
        self._take(end + 1 - self._at)

    def _comment(self) -> None:
        end = self._text.find("\n", self._at)
        self._take((len(self._text) if end < 0 else end) - self._at)

    def _begins_word(self) -> bool:
        return self._at == 0 or self._text[self._at - 1] in _BLANKS

    def _begin(self, kind: _Kind, characters: int) -> None:
        self._open.append(_Open(kind))
        self._take(characters)

    def _end(self) -> None:
        self._open.pop()
        self._take(1)

    def _take(self, characters: int) -> None:
        self._out.append(self._text[self._at : self._at + characters])
        self._at += characters
