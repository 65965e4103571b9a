"""Incremental reader of multipart/form-data for one field: the text of `model`.

Transcriptions and other uploads name their model in a form (RFC 7578), before or after the file.
A form that servers read in different ways is refused: with two fields of that name, of which some
take the first and some the last; with one in a transfer encoding; with text before its first
boundary, in which some find parts between bare line feeds.
"""

import re
from typing import Final, final

from isocline.gateway.http.unreadable import LONGEST_MODEL, TOO_LONG, UnreadableError

_LONGEST_HEAD = 16_384  # bytes of a part's header fields
_FORM = re.compile(rb"multipart/form-data(?=[\s;]|$)", re.IGNORECASE)
_PARAMETER = re.compile(
    rb'[ \t]*;[ \t]*([!#$%&\'*+\-.^_`|~0-9A-Za-z]++)=("(?:[^"\\]++|\\.)*"|[^";\s]*+)'
)
# RFC 2046, Section 5.1.1; a space, if any, is not the last.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_BARE = re.compile(rb"[\r\n\0]")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary")
_MALFORMED = "the body is not multipart/form-data: {}"

_PREAMBLE: Final = 0
_AFTER_DELIMITER: Final = 1
_HEAD: Final = 2
_CONTENT: Final = 3
_EPILOGUE: Final = 4


def boundary_of(content_type: bytes) -> bytes | None:
    """Return the boundary of a form; None if the content is of another type.

    Raises:
        UnreadableError: The form's boundary is missing or invalid.
    """
    kind = _FORM.match(content_type)
    if kind is None:
        return None
    boundary = _parameters(content_type[kind.end() :]).get(b"boundary", b"")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise UnreadableError(_MALFORMED.format("Content-Type has no valid boundary"))
    return boundary


@final
class FormModel:
    """Reader of the field `model` of a form in parts of any size."""

    __slots__ = ("_caught", "_delimiter", "_is_model", "_model", "_rest", "_state")

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._rest = b"\r\n"  # the first delimiter may be the body's first bytes
        self._state = _PREAMBLE
        self._is_model = False  # the part at hand
        self._caught = b""  # of it
        self._model: str | None = None

    def feed(self, data: bytes) -> None:
        """Read the next part; raises UnreadableError if this is no form."""
        data, self._rest = self._rest + data, b""
        at = 0
        while at >= 0:
            start = at
            if self._state in (_PREAMBLE, _CONTENT):
                at = self._to_delimiter(data, start)
            elif self._state == _AFTER_DELIMITER:
                at = self._after_delimiter(data, start)
            elif self._state == _HEAD:
                at = self._head(data, start)
            else:
                return

    def end(self) -> str:
        """Return the model after the last part; raises UnreadableError."""
        if self._state != _EPILOGUE:
            raise UnreadableError(_MALFORMED.format("it ends before its last boundary"))
        if self._model is None:
            raise UnreadableError("the form has no field `model`")
        return self._model

    # Steps. Each begins at a place of the data and returns the next one; -1 where more is needed.

    def _to_delimiter(self, data: bytes, at: int) -> int:
        delimiter = self._delimiter
        stop = data.find(delimiter, at)
        if stop < 0:
            # The end may be the delimiter's start.
            kept = max(len(data) - len(delimiter) + 1, at)
            if self._state == _PREAMBLE and kept > at:
                raise UnreadableError(_MALFORMED.format("it does not begin with its boundary"))
            self._catch(data[at:kept] if self._is_model else b"")
            self._rest = data[kept:]
            return -1
        if self._state == _PREAMBLE and stop > at:
            raise UnreadableError(_MALFORMED.format("it does not begin with its boundary"))
        if self._is_model:
            self._catch(data[at:stop])
            self._end_model()
        self._state = _AFTER_DELIMITER
        return stop + len(delimiter)

    def _after_delimiter(self, data: bytes, at: int) -> int:
        """Step after a delimiter: two dashes follow the last one, else padding and a line end."""
        if data.startswith(b"--", at):
            self._state = _EPILOGUE
            return at
        stop = data.find(b"\n", at)
        line = data[at:] if stop < 0 else data[at : stop + 1]
        if stop < 0 and len(line) < _LONGEST_HEAD and (line == b"-" or not line.strip(b" \t\r")):
            self._rest = line
            return -1
        if line.lstrip(b" \t") != b"\r\n":
            raise UnreadableError(_MALFORMED.format("a boundary does not end its line"))
        self._state = _HEAD
        # The line's end may be the first of an empty head's.
        return stop - 1

    def _head(self, data: bytes, at: int) -> int:
        stop = data.find(b"\r\n\r\n", at)
        if (stop if stop >= 0 else len(data)) - at > _LONGEST_HEAD:
            raise UnreadableError(
                _MALFORMED.format(f"a part's head is longer than {_LONGEST_HEAD} bytes")
            )
        if stop < 0:
            self._rest = data[at:]
            return -1
        self._is_model = _names_model(data[at:stop])
        if self._is_model and self._model is not None:
            raise UnreadableError("the form has more than one field `model`")
        self._state = _CONTENT
        return stop + 2  # an empty content's delimiter begins with the head's last line end

    def _catch(self, data: bytes) -> None:
        self._caught += data
        if len(self._caught) > 4 * LONGEST_MODEL + 2:  # UTF-8
            raise UnreadableError(TOO_LONG)

    def _end_model(self) -> None:
        caught, self._caught, self._is_model = self._caught, b"", False
        try:
            self._model = caught.removeprefix(b"\r\n").decode()
        except UnicodeDecodeError:
            raise UnreadableError("the field `model` is not UTF-8") from None
        if len(self._model) > LONGEST_MODEL:
            raise UnreadableError(TOO_LONG)


def _names_model(head: bytes) -> bool:
    """Whether a part, by its header fields, is the field `model`."""
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        key = name.lower()
        if not colon or not name.strip() or name != name.strip() or _BARE.search(line):
            raise UnreadableError(_MALFORMED.format("a part has a malformed header field"))
        if key in fields and key.startswith(b"content-"):
            raise UnreadableError(_MALFORMED.format("a part has a header field twice"))
        fields[key] = value.strip()
    kind, _, _ = (disposition := fields.get(b"content-disposition", b"")).partition(b";")
    if kind.strip().lower() != b"form-data":
        raise UnreadableError(_MALFORMED.format("a part has no Content-Disposition: form-data"))
    parameters = _parameters(disposition[len(kind) :])
    if b"name*" in parameters:
        raise UnreadableError(_MALFORMED.format("a part's name is in an extended notation"))
    if parameters.get(b"name") != b"model":
        return False
    if b"filename" in parameters or b"filename*" in parameters:
        raise UnreadableError("the form's field `model` is a file")
    encoding = fields.get(b"content-transfer-encoding", b"binary").lower()
    if encoding not in _PLAIN_ENCODINGS:
        raise UnreadableError("the form's field `model` is in a transfer encoding")
    return True


def _parameters(text: bytes) -> dict[bytes, bytes]:
    """Parse parameters, `; name=value` and so on; names in lower case."""
    found: dict[bytes, bytes] = {}
    at = 0
    while (it := _PARAMETER.match(text, at)) is not None:
        key, value = it[1].lower(), it[2]
        if key in found:
            raise UnreadableError(_MALFORMED.format("a parameter is given twice"))
        if value.startswith(b'"'):
            value = _ESCAPED.sub(rb"\1", value[1:-1])
        found[key] = value
        at = it.end()
    if text[at:].strip(b"; \t"):
        raise UnreadableError(_MALFORMED.format("a parameter is malformed"))
    return found
