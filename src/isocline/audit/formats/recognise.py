"""Recognition of an access log by its first lines, and the parser that reads the others."""

import csv
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

from isocline.audit.formats.envoy import Envoy
from isocline.audit.formats.exchange import Dialect, Exchange, Reader
from isocline.audit.formats.haproxy import HAProxy
from isocline.audit.formats.named import Named
from isocline.audit.formats.nginx import Nginx, log_formats
from isocline.audit.formats.template import Template, template
from isocline.errors import TraceError

DIALECTS: tuple[Dialect, ...] = (Nginx(), Envoy(), HAProxy(), Named())
SAMPLE = 50  # lines by which a file is recognised
_LONGEST = 65_536  # characters of a line; longer ones are no log lines


class LineParser(ABC):
    """Parser of the lines of one file."""

    name: str
    """What the format is called."""

    @abstractmethod
    def parse(self, line: str) -> Exchange | None:
        """The exchange of a line; None where it holds none, as a header.

        Raises:
            ValueError: The line cannot be read.
        """


@final
class TextParser(LineParser):
    """Lines by a template."""

    def __init__(self, name: str, made: Template, dialect: Dialect) -> None:
        self.name = name
        self._match = made.pattern.match
        self._read = dialect.reader(made.names)

    def parse(self, line: str) -> Exchange | None:
        found = self._match(line) if len(line) <= _LONGEST else None
        if found is None:
            raise ValueError("not of this format")
        return self._read(found.groups())


@final
class JsonParser(LineParser):
    """One JSON object per line; objects within objects are read as `outer.inner`, too."""

    def __init__(self, name: str, names: Sequence[str], read: Reader) -> None:
        self.name = name
        self._names = tuple(names)
        self._read = read

    def parse(self, line: str) -> Exchange | None:
        try:
            found = _flat(json.loads(line))
        except RecursionError as error:
            raise ValueError("too deep") from error
        return self._read([found.get(name) for name in self._names])


@final
class CsvParser(LineParser):
    """Rows of a CSV; the first is the header."""

    def __init__(self, name: str, header: str, delimiter: str, read: Reader) -> None:
        self.name = name
        self._header, self._delimiter, self._read = header, delimiter, read
        self._fields = len(_cells(header, delimiter))

    def parse(self, line: str) -> Exchange | None:
        if line == self._header:
            return None
        cells = _cells(line, self._delimiter)
        if len(cells) != self._fields:
            raise ValueError(f"{len(cells)} of {self._fields} fields")
        return self._read(cells)


class _Match(NamedTuple):
    lines: int  # that it reads
    parser: TextParser


def recognised(where: str, sample: Sequence[str], given: str | None = None) -> LineParser:
    """The parser of a file that begins with these lines, which are not empty.

    Args:
        where: The file, for messages.
        sample: Its first lines.
        given: A format of the user's: a template, or a file of nginx's configuration.

    Raises:
        TraceError: The format is unknown, or lacks what an audit needs; says what to log instead.
        UsageError: `given` is no format.
    """
    if given is not None:
        return _given(where, sample, given)
    if sample[0].lstrip().startswith("{"):
        return _json(where, sample)
    found = _by_template(sample, _built_in())
    if found is not None:
        return found.parser
    lacking = _by_template(sample, _lacking())
    if lacking is not None:
        raise TraceError(
            f"{where}: is written as {lacking.parser.name}, which lacks "
            f"{_lacks_of(lacking.parser.name)}; log this from now on: {Nginx.advice}"
        )
    found_csv = _csv(where, sample)
    if found_csv is not None:
        return found_csv
    raise TraceError(
        f"{where}: unknown format, first line {sample[0]!r:.100}; known: "
        f"{'; '.join(name for name, _, _ in _built_in())}; JSON; and CSV with a header. For "
        "another give --format with the router's own format, or nginx.conf"
    )


def _templates() -> list[tuple[str, str, Dialect]]:
    return [
        (name, text, dialect) for dialect in DIALECTS for name, text in dialect.templates.items()
    ]


def _names_of(text: str) -> tuple[str, ...]:
    return template(text).names


def _built_in() -> list[tuple[str, str, Dialect]]:
    return [it for it in _templates() if not it[2].lacks(_names_of(it[1]))]


def _lacking() -> list[tuple[str, str, Dialect]]:
    return [it for it in _templates() if it[2].lacks(_names_of(it[1]))]


def _lacks_of(name: str) -> str:
    return next(it.lacks(_names_of(text)) for known, text, it in _templates() if known == name)


def _by_template(sample: Sequence[str], known: Sequence[tuple[str, str, Dialect]]) -> _Match | None:
    """The template that reads the most lines, at least half of them."""
    best: _Match | None = None
    for name, text, dialect in known:
        made = template(text)
        matches = sum(made.pattern.match(line[:_LONGEST]) is not None for line in sample)
        if 2 * matches >= len(sample) and (best is None or matches > best.lines):
            parser = _Lines(name) if dialect.lacks(made.names) else TextParser(name, made, dialect)
            best = _Match(matches, parser)  # type: ignore[arg-type]
    return best


class _Lines(NamedTuple):
    """In place of a parser, of a format that cannot be audited."""

    name: str


def _given(where: str, sample: Sequence[str], given: str) -> LineParser:
    path = Path(given)
    in_file = "$" not in given and "%" not in given
    texts = log_formats(path) if in_file else {"--format": given}
    known = [(name, text, _of_template(text)) for name, text in texts.items()]
    # Of several that the lines are of, one that can be audited.
    known.sort(key=lambda it: bool(it[2].lacks(template(it[1]).names)))
    found = _by_template(sample, known)
    if found is None:
        shown = ", ".join(texts) if in_file else given
        raise TraceError(
            f"{where}: its lines are not of the format {shown!r:.200}; the first is "
            f"{sample[0]!r:.100}. Give the log_format by which they were written"
        )
    if isinstance(found.parser, TextParser):
        return found.parser
    text = texts[found.parser.name]
    dialect = _of_template(text)
    raise TraceError(
        f"{where}: the format {found.parser.name} lacks {dialect.lacks(template(text).names)}; "
        f"log this from now on: {dialect.advice}"
    )


def _of_template(text: str) -> Dialect:
    """The dialect of the router that is configured so."""
    if "$" in text:
        return Nginx()
    return Envoy() if re.search(r"%[A-Z_]{4,}", text) else HAProxy()


def _dialect(names: Sequence[str]) -> Dialect:
    """The dialect of these names: the one that lacks the least."""
    return min(DIALECTS, key=lambda it: it.lacks(names).count(" and ") + bool(it.lacks(names)))


def _json(where: str, sample: Sequence[str]) -> LineParser:
    names: dict[str, None] = {}
    for line in sample:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            names.update(dict.fromkeys(_flat(found)))
    known = tuple(names)
    if not known:
        raise TraceError(f"{where}: no line is a JSON object; the first is {sample[0]!r:.100}")
    dialect = _dialect(known)
    if lacks := dialect.lacks(known):
        raise TraceError(
            f"{where}: JSON with {', '.join(known)!r:.200} lacks {lacks}; name these fields as the "
            "router does, or start, duration and upstream"
        )
    return JsonParser(_called(dialect, "JSON"), known, dialect.reader(known))


def _called(dialect: Dialect, lines: str) -> str:
    return lines if isinstance(dialect, Named) else f"{dialect.router}, {lines}"


def _flat(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError("not a JSON object")
    if not any(isinstance(value, dict) for value in entry.values()):
        return entry
    flat = dict(entry)
    for name, value in entry.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": within for key, within in value.items()}
    return flat


def _csv(where: str, sample: Sequence[str]) -> LineParser | None:
    """A CSV; None where the first line is no header."""
    head = sample[0]
    delimiter = max(",;\t", key=head.count)
    if delimiter not in head or any(character in head for character in "[]{"):
        return None
    try:
        names = [name.strip() for name in _cells(head, delimiter)]
    except ValueError:  # quotes that are none of a CSV
        return None
    dialect = _dialect(names)
    if lacks := dialect.lacks(names):
        if any(name[:1].isdigit() for name in names):
            return None
        raise TraceError(
            f"{where}:1: a CSV with the columns {', '.join(names)!r:.200} lacks {lacks}; "
            f"give {Named.advice}"
        )
    return CsvParser(_called(dialect, "CSV"), head, delimiter, dialect.reader(names))


def _cells(line: str, delimiter: str) -> list[str]:
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise ValueError(str(error)) from error
