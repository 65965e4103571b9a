"""Filling of a system file: a backend for each endpoint that was found.

A backend gets the keys of its template and a name and url of its own, just as if it stood in the
file, so that whatever reads the file reads it, too; errors name the line of the template.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, final

import yaml

from isocline.model.endpoint import Endpoint, Found
from isocline.model.systemfile.discovery_schema import DiscoverEntry, TemplateEntry
from isocline.model.systemfile.document import Document, Field
from isocline.model.systemfile.problems import choice
from isocline.model.systemfile.schema import RoutingFile

# Keys of a template that a backend of the file does not have.
_OF_TEMPLATES = ("match", "frontends")
# Keys of a backend whose texts may hold the endpoint's name or address.
_PLACED = ("metrics", "cache_events", "cache_replay")
_MORE = 3  # endpoints that a note names
_ALL = TemplateEntry()


class Filled(NamedTuple):
    """A document with the backends that were found."""

    document: Document
    notes: tuple[str, ...]  # endpoints that are no backends, and why, one sentence each


def filled(document: Document, file: RoutingFile, found: Found) -> Filled:
    """Add the backends that discovery has found, in the order of their names.

    An endpoint whose name or url another backend has is left out: one server must not count twice.

    Raises:
        SystemFileError: A template names a frontend that does not exist, or two entries have one
            name.
    """
    filling = _Filling(document, file)
    for d, entry in enumerate(file.discover):
        if entry.name in (it.name for it in file.discover[:d]):
            problem = f"{entry.name!r} is the name of another entry; choose another"
            document.fail(("discover", d, "name"), problem)
        filling.require_frontends(d, entry)
        filling.add_all(d, entry, found.get(entry.name, ()))
    return filling.filled()


def placed(entry: DiscoverEntry, endpoint: Endpoint) -> tuple[str, str] | None:
    """Name and url of the backend that an endpoint becomes; None if no template matches it."""
    template = _template(entry, endpoint)
    if template is None:
        return None
    put = template.places(endpoint)
    return put(template.name), put(template.url)


def _template(entry: DiscoverEntry, endpoint: Endpoint) -> TemplateEntry | None:
    """The first template that takes an endpoint."""
    return next((it for it in entry.templates or [_ALL] if it.takes(endpoint)), None)


def snapshot(document: Document, learned: Mapping[str, list[list[float]]]) -> dict[str, Any]:
    """Return the data of a filled document as that of a file that discovers nothing.

    Args:
        document: The document.
        learned: Points of learned curves, for backends without a curve, by name.
    """
    data = {key: value for key, value in document.data.items() if key != "discover"}
    data["backends"] = [
        {**entry, "curve": {"type": "table", "points": learned[entry["name"]]}}
        if entry.get("curve") is None and entry["name"] in learned
        else entry
        for entry in data.get("backends", ())
    ]
    return data


def samples(file: RoutingFile, each: int = 1) -> Found:
    """Invent `each` endpoints for every template, to check it, or to plan with so many."""
    return {
        entry.name: [
            _invented(entry.name, template, t, i)
            for t, template in enumerate(entry.templates or [_ALL])
            for i in range(each)
        ]
        for entry in file.discover
    }


def _invented(source: str, template: TemplateEntry, t: int, i: int) -> Endpoint:
    """Invent an endpoint that meets a template's conditions, as far as patterns tell."""
    match = template.match
    plain = f"{source}-{t + 1}-{i + 1}"
    name = plain if match.name is None else _meeting(match.name, plain)
    labels = {label: _meeting(pattern, "any") for label, pattern in match.labels.items()}
    return Endpoint(name, f"{plain}.invalid:80", labels)  # RFC 6761, Section 6.4


def _meeting(pattern: str, text: str) -> str:
    """Return a text that meets a pattern: the pattern itself, with `text` in place of its star."""
    return pattern.replace("*", text, 1).replace("*", "").replace("?", "x")


@final
class _Filling:
    """The backends so far, as data and as YAML nodes."""

    def __init__(self, document: Document, file: RoutingFile) -> None:
        self._document = document
        self._file = file
        self._data: list[dict[str, Any]] = []
        self._nodes: list[yaml.Node] = []
        self._frontends: list[list[str]] = [[] for _ in file.frontends]  # names of new backends
        self._names = {backend.name for backend in file.backends}
        self._urls = {backend.url for backend in file.backends}
        self._unmatched: dict[str, list[str]] = {}
        self._notes: list[str] = []

    def require_frontends(self, d: int, entry: DiscoverEntry) -> None:
        names = [frontend.name for frontend in self._file.frontends]
        for t, template in enumerate(entry.templates):
            for i, pattern in enumerate(template.frontends):
                if not _matching(pattern, names):
                    field = ("discover", d, "templates", t, "frontends", i)
                    problem = f"{pattern!r} matches no frontend; {choice(pattern, names)}"
                    self._document.fail(field, problem)

    def add_all(self, d: int, entry: DiscoverEntry, endpoints: Sequence[Endpoint]) -> None:
        templates = entry.templates or [_ALL]
        for endpoint in sorted(endpoints, key=lambda it: it.name):
            t = next((t for t, it in enumerate(templates) if it.takes(endpoint)), None)
            if t is None:
                self._unmatched.setdefault(entry.name, []).append(endpoint.name)
                continue
            place: Field = ("discover", d, *(("templates", t) if entry.templates else ()))
            self._add(place, entry.name, templates[t], endpoint)

    def filled(self) -> Filled:
        root = self._document.root
        assert isinstance(root, yaml.MappingNode)
        data = dict(self._document.data)
        nodes = {key.value: (key, value) for key, value in root.value}
        if self._data:
            data["backends"] = [*data.get("backends", ()), *self._data]
            top = nodes["discover"][0] if "discover" in nodes else root
            key, before = nodes.get("backends", (_text("backends", top), None))
            given = [before or key] * len(self._document.data.get("backends", ()))  # of a table
            if isinstance(before, yaml.SequenceNode):
                given = before.value
            nodes["backends"] = key, _list([*given, *self._nodes], before or key)
        data["frontends"] = [
            {**raw, "backends": [*raw.get("backends", ()), *names]} if names else raw
            for raw, names in zip(data["frontends"], self._frontends, strict=True)
        ]
        for source, names in self._unmatched.items():
            shown = ", ".join(names[:_MORE]) + (", ..." if len(names) > _MORE else "")
            self._notes.append(
                f"discover {source!r}: no template matches {shown} ({len(names)} in all), and they "
                "are left out; add a template without match to take all others"
            )
        whole = yaml.MappingNode(root.tag, list(nodes.values()), root.start_mark, root.end_mark)
        return Filled(replace(self._document, data=data, compose=lambda: whole), tuple(self._notes))

    def _add(self, place: Field, source: str, template: TemplateEntry, endpoint: Endpoint) -> None:
        put = template.places(endpoint)
        name, url = put(template.name), put(template.url)
        if name in self._names or url in self._urls:
            remedy = f'name, {name}; give the template another, as name: "{source}-{{name}}"'
            same = remedy if name in self._names else f"url, {url}"
            left = f"discover {source!r}: {endpoint.name} is left out"
            self._notes.append(f"{left}, as another backend has the same {same}")
            return
        self._names.add(name)
        self._urls.add(url)
        raw = self._document.at(place) if template is not _ALL else {}
        own = {"name": name, "url": url}
        own |= {key: put(raw[key]) for key in _PLACED if isinstance(raw.get(key), str)}
        self._data.append({**own, **_without(raw, {*own, *_OF_TEMPLATES})})
        self._nodes.append(self._node(place, own, is_all=template is _ALL))
        names = [frontend.name for frontend in self._file.frontends]
        for pattern in template.frontends:
            for f in _matching(pattern, names):
                if name not in self._frontends[f]:
                    self._frontends[f].append(name)

    def _node(self, place: Field, own: dict[str, str], *, is_all: bool) -> yaml.Node:
        """Return the node of a backend; those of its keys are the template's."""
        node = self._document.node(place)
        given = node.value if isinstance(node, yaml.MappingNode) and not is_all else []
        pairs = [(_text(key, node), _text(value, node)) for key, value in own.items()]
        kept = [(k, v) for k, v in given if k.value not in own and k.value not in _OF_TEMPLATES]
        return yaml.MappingNode(
            "tag:yaml.org,2002:map", [*pairs, *kept], node.start_mark, node.end_mark
        )


def _matching(pattern: str, names: Sequence[str]) -> list[int]:
    if pattern in names:
        return [names.index(pattern)]
    return [f for f, name in enumerate(names) if fnmatchcase(name, pattern)]


def _without(raw: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in keys}


def _text(text: str, at: yaml.Node) -> yaml.Node:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, at.start_mark, at.end_mark)


def _list(nodes: list[yaml.Node], at: yaml.Node) -> yaml.Node:
    return yaml.SequenceNode("tag:yaml.org,2002:seq", nodes, at.start_mark, at.end_mark)
