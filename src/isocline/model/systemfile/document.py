"""YAML documents as plain data, with the line of each value.

The YAML 1.2 core schema is used instead of PyYAML's 1.1: a frontend named `no` stays a name and
`1e3` is a number.
"""

import json
import re
import reprlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, final

import yaml

from isocline.arguments import whole_number
from isocline.errors import IsoclineError, SystemFileError, UsageError
from isocline.model.systemfile.one_line_entries import shortened

if TYPE_CHECKING:
    from isocline.model.systemfile.tables import Entries

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # a PyYAML built without libyaml: slower, otherwise the same
    from yaml import SafeLoader as _Base  # type: ignore[assignment]

STDIN = Path("-")
# Path from the top of a file to a value: keys and list positions.
Field = tuple[str | int, ...]
_TEXT = "tag:yaml.org,2002:str"
# Keys whose entries may be the rows of a table.
_IN_TABLES = ("backends", "frontends")

_CORE_SCHEMA = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
)


@final
class CoreLoader(_Base):
    """Loader of YAML by the core schema.

    Its three methods do what PyYAML's own do, with short ways for what nearly all nodes are: a
    large file has a million of them.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own protocol

    def descend_resolver(self, _parent: Any, _index: Any) -> None:
        """Do nothing: no tag depends on the place of its node."""

    def ascend_resolver(self) -> None:
        """Do nothing, likewise."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Tag of a node that has none of its own."""
        if kind is yaml.ScalarNode:
            if not implicit[0]:
                return _TEXT
            for tag, pattern in self.yaml_implicit_resolvers.get(value[:1], ()):
                if pattern.match(value):
                    return tag
            return _TEXT
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Value of a node."""
        if node.tag == _TEXT and type(node) is yaml.ScalarNode:
            return node.value
        return super().construct_object(node, deep)


@final
class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


@final
class LongNumberError(yaml.YAMLError):
    """A number with more digits than any number that can be meant; `line` counts from 1."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.problem, self.line = problem, line


def _whole(_loader: Any, node: yaml.ScalarNode) -> int:
    try:
        return whole_number(node.value)
    except UsageError as error:
        raise LongNumberError(str(error), node.start_mark.line + 1) from None


CoreLoader.add_constructor("tag:yaml.org,2002:int", _whole)
for _tag, _pattern, _first in _CORE_SCHEMA:
    CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"^(?:{_pattern})$"),
        [letter.strip("\0") for letter in _first],
    )


@final
@dataclass(frozen=True)
class Document:
    """A file's data and its tree of YAML nodes, which carry the lines."""

    path: Path
    data: Any
    compose: Callable[[], yaml.Node]  # the tree, which a file without a mistake may never need
    tables: Mapping[str, "Entries"] = field(default_factory=dict)  # that hold the entries of a key

    @cached_property
    def root(self) -> yaml.Node:
        """The top of the tree."""
        return self.compose()

    @property
    def name(self) -> str:
        """Name of the system where its file has none."""
        return "stdin" if self.path == STDIN else self.path.stem

    def fail(self, field: Field, problem: str) -> NoReturn:
        """Raise SystemFileError: file, line, field in words, problem."""
        words = self._words(field)
        where = self._place(field)
        raise SystemFileError(f"{where}: {words}: {problem}" if words else f"{where}: {problem}")

    @contextmanager
    def blaming(self, *field: str | int) -> Iterator[None]:
        """Prefix file, line and field to the message of an error that does not name them.

        A message that begins with the field's own name does not repeat it.
        """
        try:
            yield
        except SystemFileError:
            raise  # names a place within this field, or a better one
        except IsoclineError as error:
            problem = str(error).removeprefix(f"{field[-1]}: " if field else "")
            self.fail((*field, *error.field), problem)

    @contextmanager
    def blaming_named(self) -> Iterator[None]:
        """As `blaming`, of an error of the whole file whose field has entries by their names."""
        try:
            yield
        except SystemFileError:
            raise
        except IsoclineError as error:
            self.fail(self.positions(error.field), str(error))

    def positions(self, field: Field) -> Field:
        """A field with the positions of list entries in place of their names."""
        found: list[str | int] = []
        value = self.data
        for part in field:
            if isinstance(value, list) and isinstance(part, str):
                names = [it.get("name") if isinstance(it, dict) else it for it in value]
                part = names.index(part) if part in names else 0  # noqa: PLW2901
            found.append(part)
            value = value_at(value, part)
        return tuple(found)

    def at(self, field: Field) -> Any:
        """Return the value of a field; None if there is none."""
        return reduce(value_at, field, self.data)

    def node(self, field: Field) -> yaml.Node:
        """Return the node of a field, or of the nearest one around it that there is."""
        node = self.root
        for part in field:
            _, child = _child(node, part)
            if child is None:
                break
            node = child
        return node

    def _place(self, field: Field) -> str:
        """Return file and line of a field, or table and row."""
        match field:
            case (str() as key, int() as i, *_) if key in self.tables:
                place = self.tables[key].place(i)
            case _:
                place = None
        return place or f"{self.path}:{self._line(field)}"

    def _line(self, field: Field) -> int:
        node, mark = self.root, self.root.start_mark
        for part in field:
            key, child = _child(node, part)
            if child is None:
                break
            node, mark = child, (key or child).start_mark
        return mark.line + 1

    def _words(self, field: Field) -> str:
        """Return a field in words, as "backends[1] 'l4', curve.peak"."""
        words, value = "", self.data
        for part in field:
            value = value_at(value, part)
            if isinstance(part, str):
                words += ("." if words and not words.endswith(" ") else "") + part
                continue
            words += f"[{part}]"
            if isinstance(value, dict) and isinstance(value.get("name"), str):
                words += f" {value['name']!r}, "
        return words.removesuffix(", ")


def text_of(data: Any) -> str:
    """Write data as YAML that `read` reads, with all keys in their order and no anchors."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def value_at(data: Any, part: str | int) -> Any:
    """Return the value at a key or position of a mapping or list; None if it has none."""
    if isinstance(data, dict):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


_TABLE = (
    "isocline curves --from FILE... makes service curves of a table of measurements; for a system, "
)


def read(
    path: Path, noun: str = "system", begin: str = "kind: routing", *, where_empty: str = ""
) -> Document:
    """Read a YAML file whose top is a mapping, `-` being stdin.

    Keys at the top that begin with `x-` hold whatever the file itself refers to, by YAML anchors.

    Args:
        path: The file.
        noun: Noun for what it describes, for messages.
        begin: First line of such a file, for messages.
        where_empty: Remedy to name where the file is empty, in place of the usual one.

    Raises:
        SystemFileError: It cannot be read, is not text, not YAML, empty, or not a mapping.
    """
    return parsed(path, _text(path, noun), noun, begin, where_empty=where_empty)


def parsed(
    path: Path,
    text: str,
    noun: str = "system",
    begin: str = "kind: routing",
    *,
    where_empty: str = "",
) -> Document:
    """Read the text of a YAML file, as `read` does; `path` is its place."""
    data, compose = _of_json(text), partial(_json_root, text)
    if data is None:
        data, compose = _of_yaml(path, text, noun, begin, where_empty)
    named = {key: value for key, value in data.items() if not str(key).startswith("x-")}
    return _with_tables(Document(path, named, compose))


def _of_yaml(
    path: Path, text: str, noun: str, begin: str, where_empty: str
) -> tuple[dict[str, Any], partial[yaml.Node]]:
    """Data of a YAML text, and what composes its tree."""
    if short := _of_one_line_entries(path, text):
        return short, partial(_json_root, text)
    with _yaml_errors(path, text):
        loader = CoreLoader(text)
        root = loader.get_single_node()
    if root is None:
        remedy = where_empty or f"describe a {noun}, beginning: {begin}"
        raise SystemFileError(f"{path}: is empty; {remedy}")
    _refuse_duplicate_keys(path, root, set())
    with _yaml_errors(path, text):
        data = loader.construct_document(root)
    if not isinstance(data, dict):
        line = root.start_mark.line + 1
        found = reprlib.repr(data)
        table = _TABLE if noun == "system" and _is_table(data) else ""
        raise SystemFileError(
            f"{path}:{line}: {found} is not a mapping; {table}begin with: {begin}"
        )
    return data, partial(_same, root)


def _of_one_line_entries(path: Path, text: str) -> dict[str, Any] | None:
    """Data of a YAML text whose lists are read as JSON; None if that is nothing, or has mistakes.

    Lines of what is left are not those of the file, so that no mistake is said of it.
    """
    short, entries = shortened(text, _strict_json)
    if not entries:
        return None
    try:
        loader = CoreLoader(short)
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_duplicate_keys(path, root, set())
        data = loader.construct_document(root)
    except (yaml.YAMLError, ValueError, RecursionError, SystemFileError):
        return None
    # A key without a value, unless what looks like a key is within a text.
    if not isinstance(data, dict) or any(data.get(key, "") is not None for key in entries):
        return None
    return data | entries


def _same(root: yaml.Node) -> yaml.Node:
    return root


def _json_root(text: str) -> yaml.Node:
    """Compose the tree of a JSON text, which is YAML but for oddities: there, only its top."""
    try:
        root = CoreLoader(text).get_single_node()
    except (yaml.YAMLError, ValueError, RecursionError):
        root = None
    top = yaml.Mark("", 0, 0, 0, "", 0)
    return root or yaml.MappingNode("tag:yaml.org,2002:map", [], top, top)


def _of_json(text: str) -> dict[str, Any] | None:
    """Data of a JSON text, 20 times as fast as YAML's; None if it is not JSON, or has mistakes."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        data = _strict_json(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _strict_json(text: str) -> Any:
    """Read JSON; raises ValueError where a key stands twice, or for a number that is none."""
    try:
        return json.loads(
            text, object_pairs_hook=_each_once, parse_int=whole_number, parse_constant=_no_number
        )
    except UsageError as error:
        raise ValueError(str(error)) from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _with_tables(document: Document) -> Document:
    """Put the rows of tables in the place of `backends: {table: FILE}`, and of frontends."""
    tables = {}
    for key in _IN_TABLES:
        given = document.data.get(key)
        if isinstance(given, dict) and "table" in given:
            if len(given) > 1 or not isinstance(given["table"], str):
                document.fail((key,), f"is {reprlib.repr(given)}; give {{table: FILE}} alone")
            # Imported here, as few files have one.
            from isocline.model.systemfile.tables import read_entries  # noqa: PLC0415

            with document.blaming(key, "table"):
                tables[key] = read_entries(document.path.parent / given["table"], key)
    data = document.data | {key: table.rows for key, table in tables.items()}
    return replace(document, data=data, tables=tables) if tables else document


def _is_table(data: object) -> bool:
    """Whether a YAML document is the text of a table, with at least two columns."""
    return isinstance(data, str) and bool(re.match(r"[^,;]+[,;][^,;]", data))


@contextmanager
def _yaml_errors(path: Path, text: str) -> Iterator[None]:
    try:
        yield
    except SystemFileError:
        raise
    except LongNumberError as error:
        raise SystemFileError(f"{path}:{error.line}: {error.problem}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem, remedy = error.problem, "correct the line"
        if mark and text[mark.index : mark.index + 1] == "\t":
            problem, remedy = "a tab stands where YAML takes only spaces", "indent by spaces"
        raise SystemFileError(f"{where}: is not YAML: {problem}; {remedy}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0]
        raise SystemFileError(f"{path}: is not YAML: {problem}; correct the file") from error


def _text(path: Path, noun: str) -> str:
    try:
        if path == STDIN:
            return sys.stdin.buffer.read().decode("utf-8-sig")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SystemFileError(f"{path}: does not exist; give the path of a {noun} file") from error
    except UnicodeDecodeError as error:
        raise SystemFileError(
            f"{path}: is not text (byte {error.start} is not UTF-8); give a YAML file"
        ) from error
    except OSError as error:
        raise SystemFileError(
            f"{path}: cannot be read ({error.strerror}); give a readable YAML file"
        ) from error


def _child(node: yaml.Node, part: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Key node, where there is one, and value node of a mapping's key or a list's item."""
    if isinstance(node, yaml.MappingNode):
        # From the end: a merged key stands before the one that overrides it.
        for key, value in reversed(node.value):
            if key.value == part:
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None, None


def _refuse_duplicate_keys(path: Path, node: yaml.Node, seen: set[int]) -> None:
    """Refuse keys that stand twice; YAML itself would silently keep the last one."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    inside = node.value
    if isinstance(node, yaml.MappingNode):
        keys = [(key.tag, key.value) for key, _ in inside if type(key) is yaml.ScalarNode]
        if len(set(keys)) < len(keys):
            _refuse_duplicate_key(path, node)
        inside = [part for entry in inside for part in entry]
    for part in inside:
        if type(part) is not yaml.ScalarNode:
            _refuse_duplicate_keys(path, part, seen)


def _refuse_duplicate_key(path: Path, node: yaml.MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in lines:
            first = lines[key.tag, key.value]
            raise SystemFileError(
                f"{path}:{line}: key {key.value!r} stands twice (see line {first}); keep one"
            )
        if isinstance(key, yaml.ScalarNode):
            lines[key.tag, key.value] = line
