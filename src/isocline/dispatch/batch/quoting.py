"""Substitution of `{path}` in a shell command, by the quoting rules of the shell (POSIX.1, 2.2).

The path is passed to the shell as the variable CHUNK_PATH, so its text is never read as shell code.
Quoting may still go wrong: a variable outside double quotes is split at spaces and expanded as a
pattern, and `"$CHUNK_PATH"` inserted between the user's double quotes ends up outside of them. The
scanner below tracks where quotes begin and end. Where it cannot, or where another program would
interpret the path again, as in `sh -c "rm {path}"`, the command is refused, since a wrong guess
would name other files.
"""

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import final

from isocline.errors import UsageError

PLACE = "{path}"
VARIABLE = "CHUNK_PATH"

_REMEDY = f'write {PLACE} as one word outside quotes, or use "${VARIABLE}"'
_BLANKS = frozenset(" \t\n;&|()")
_OTHER_WORDS = frozenset(" \t\n;&|()<>'`")
_CASE = re.compile(r"case\s")


class QuotingError(UsageError):
    """`{path}` cannot be replaced safely; the message gives the place and the remedy."""


class _Kind(Enum):
    DOUBLE = auto()  # "..."
    PARENTHESIS = auto()  # (...) and $(...)
    BRACE = auto()  # ${...}


@final
@dataclass(slots=True)
class _Open:
    """Open quote or bracket."""

    kind: _Kind
    literal: list[str] = field(default_factory=list)  # other characters of a double-quoted string
    named: bool = False  # whether the string contains the path


def with_path(command: str) -> str:
    """Replace each `{path}` in a command by a shell variable that is always one word.

    Raises:
        QuotingError: `{path}` is in single quotes, beside other text in double quotes, in
            backquotes, after a backslash, in a here-document, or the name of a shell variable.
    """
    return _Scanner(command).scanned() if PLACE in command else command


@final
class _Scanner:
    """Scanner of one command."""

    def __init__(self, command: str) -> None:
        self._text = command
        self._at = 0
        self._out: list[str] = []
        self._open: list[_Open] = []
        self._here_document = False
        self._unsure = ""  # reason why the rest cannot be scanned reliably

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
        """Detect constructs after which this scanner is not reliable."""
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
            raise QuotingError(f"${PLACE} is a shell variable; rename it")
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
            raise QuotingError(f"{PLACE} stands after a backslash; remove the backslash")
        self._take(2)

    def _verbatim(self, quote: str, where: str) -> None:
        """Skip to the closing quote; in backquotes, a backslash may escape one."""
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
