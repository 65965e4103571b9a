"""Settings of serving, as `isocline serve --check` shows them, without secrets."""

from collections.abc import Mapping
from dataclasses import asdict
from operator import itemgetter
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.gateway import hot_path
from isocline.gateway.serve.config import Serving
from isocline.report.tables.style import Column, names, table


def serving_document(serving: Serving) -> dict[str, Any]:
    """All settings in force, defaults included; times in s, sizes in bytes."""
    proxy, learning = serving.proxy, serving.learning
    return {
        "kind": "serving",
        "file": str(serving.path),
        "policy": serving.policy,
        "workers": serving.workers,
        "listeners": [
            {"name": it.name, "host": it.host, "port": it.port, "tls": it.tls is not None}
            for it in proxy.listeners
        ],
        "admin": str(serving.admin) if serving.admin else None,
        "frontends": _frontends(serving),
        "backends": _backends(serving),
        "learning": learning
        and {
            "file": str(learning.file) if learning.file else None,
            "every": learning.every,
            "work": learning.unit,
            "ask_usage": proxy.ask_usage,
            "half_life": learning.rules.half_life,
            "half_life_completions": learning.rules.half_life_completions,
            "optimism": learning.rules.optimism,
            "false_alarms": learning.rules.false_alarms,
            "kept": learning.rules.kept,
        },
        "health": asdict(serving.checks.health) if serving.checks.health else None,
        "rules": asdict(serving.rules),
        "times": asdict(proxy.times),
        "sizes": asdict(proxy.sizes),
        "trusted": [str(network) for network in proxy.trusted],
        "api_keys": len(proxy.key_digests),
        "cors": asdict(proxy.cors) if proxy.cors else None,
        "models": asdict(serving.models) if serving.models else None,
        "access_log": serving.access_log,
        "drain": serving.drain,
        "drain_delay": serving.drain_delay,
        "compiled": hot_path.is_compiled(),
    }


def serving_report(document: Mapping[str, Any]) -> RenderableType:
    """The same for people: who is where, and the rest in lines."""
    frontends: list[Column[Mapping[str, Any]]] = [
        names("frontend", itemgetter("name")),
        names("takes", lambda it: _words(it["match"]) or "all"),
        names("backends", lambda it: ", ".join(it["backends"])),
    ]
    backends: list[Column[Mapping[str, Any]]] = [
        names("backend", itemgetter("name")),
        names("url", itemgetter("url")),
        names("curve", itemgetter("curve")),
        names("polled", lambda it: _polled(it["poll"])),
    ]
    return Group(
        table("frontends", frontends, document["frontends"]),
        Text(),
        table("backends", backends, document["backends"]),
        Text(),
        *map(Text, _lines(document)),
    )


def _polled(poll: Mapping[str, Any] | None) -> str:
    if poll is None:
        return "-"
    return f"{poll['server']}, {poll['path']}" if poll["path"] else str(poll["server"])


def _frontends(serving: Serving) -> list[dict[str, Any]]:
    system = serving.system
    return [
        {
            "name": rule.name,
            "match": {key: value for key, value in vars(rule.match).items() if value is not None},
            "backends": [system.backends[b].name for b in system.graph.neighbours(f).tolist()],
            "resend_unanswered": rule.resend_unanswered,
        }
        for f, rule in enumerate(serving.proxy.frontends)
    ]


def _backends(serving: Serving) -> list[dict[str, Any]]:
    given = serving.learning.given if serving.learning else [True] * len(serving.system.backends)
    rows = zip(
        serving.system.backends, serving.proxy.backends, serving.checks.polls, given, strict=True
    )
    return [
        {
            "name": backend.name,
            "url": address.url,
            "curve": str(backend.curve) if known else "learned from nothing",
            "authorization": address.authorization is not None,
            "poll": poll and asdict(poll),
        }
        for backend, address, poll, known in rows
    ]


def _lines(document: Mapping[str, Any]) -> list[str]:
    doors = [
        f"{it['name']} {'https' if it['tls'] else 'http'}://{it['host']}:{it['port']}"
        for it in document["listeners"]
    ]
    learning, health, rules = document["learning"], document["health"], document["rules"]
    resent = [it["name"] for it in document["frontends"] if it["resend_unanswered"]]
    return [
        f"listen       {', '.join(doors)}",
        f"admin        {document['admin'] or 'off'}",
        f"policy       {document['policy']}, workers {document['workers']}",
        f"learning     {_words(learning) if learning else 'off'}",
        f"health       {_words(health) if health else 'off'}",
        *(f"{name:<12} {_words(rule)}" for name, rule in rules.items() if _is_group(rule)),
        f"load         {_words({name: it for name, it in rules.items() if not _is_group(it)})}",
        f"resending    {', '.join(resent) or 'off'}",
        f"times        {_words(document['times'])}",
        f"sizes        {_words(document['sizes'])}",
        f"trusted      {', '.join(document['trusted']) or 'nobody'}",
        f"API keys     {document['api_keys'] or 'none needed'}",
        f"CORS         {_words(document['cors']) if document['cors'] else 'off'}",
        f"models       {_words(document['models']) if document['models'] else 'off'}",
        f"access log   {document['access_log'] or 'off'}",
        f"drain        {document['drain']:g}, delay {document['drain_delay']:g}",
        f"hot path     {hot_path.kind()}",
    ]


def _is_group(rule: object) -> bool:
    return isinstance(rule, Mapping)


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value not in (None, {}))
