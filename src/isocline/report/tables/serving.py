"""Serving settings for `isocline serve --check`, without secrets."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from isocline.gateway import hot_path
from isocline.gateway.health_checks import Poll
from isocline.gateway.serve.config import LearningSettings, Serving
from isocline.gateway.serve.controls import ControlSettings
from isocline.model.setting import settings_of
from isocline.report.tables.style import Column, names, table
from isocline.report.words import listed


class FrontendRow(NamedTuple):
    """Frontend with its conditions and backends."""

    name: str
    match: dict[str, Any]  # the given conditions
    backends: list[str]
    resend_unanswered: bool
    zone: str | None


class BackendRow(NamedTuple):
    """Backend with its settings."""

    name: str
    url: str
    curve: str
    authorization: bool
    poll: Poll | None
    weight: float
    max_share: float
    zone: str | None


def serving_document(serving: Serving, lacking: Collection[str] = ()) -> dict[str, Any]:
    """Document of all settings in force, including defaults; times in s, sizes in bytes.

    Args:
        serving: The settings.
        lacking: Keys of the document that a plane does not have, as `models` or `times.tunnel`.
    """
    proxy, learning, control = serving.proxy, serving.learning, serving.control
    document = {
        "kind": "serving",
        "file": str(serving.path),
        "policy": serving.policy,
        "workers": serving.workers,
        "listeners": [
            {"name": it.name, "host": it.host, "port": it.port, "tls": it.tls is not None}
            for it in proxy.listeners
        ],
        "admin": str(serving.admin) if serving.admin else None,
        "admin_control": control and {"keys": control.key_names, "allow": control.allowed},
        "frontends": [row._asdict() for row in _frontends(serving)],
        "backends": [
            row._asdict() | {"poll": row.poll and asdict(row.poll)} for row in _backends(serving)
        ],
        "learning": learning and _learning(learning, ask_usage=proxy.ask_usage),
        "health": serving.checks.health and _settings(serving.checks.health),
        "rules": _settings(serving.rules),
        "times": _settings(proxy.times),
        "sizes": _settings(proxy.sizes),
        "trusted": [str(network) for network in proxy.trusted],
        "api_keys": len(proxy.key_digests),
        "key_limits": {name: _settings(it) for name, it in proxy.key_limits.items()},
        "session": proxy.session.decode() or None,
        "cache_homes": proxy.homes,
        "prefix_caches": _prefix_caches(serving),
        "distance": serving.zones and _settings(serving.zones.distances),
        "picker": _settings(proxy.picker),
        "cors": proxy.cors and _settings(proxy.cors),
        "models": serving.models and _settings(serving.models),
        "residency": serving.residency and asdict(serving.residency),
        "access_log": serving.access_log,
        "log_format": serving.log_format,
        "tracing": serving.telemetry and _tracing(serving),
        "drain": serving.drain,
        "drain_delay": serving.drain_delay,
        "compiled": hot_path.is_compiled(),
    }
    return _without(document, lacking)


def serving_report(
    serving: Serving, lacking: Collection[str] = (), scheme: str = "http"
) -> RenderableType:
    """Report of all settings in force: tables of frontends and backends, then lines.

    Args:
        serving: The settings.
        lacking: As of `serving_document`.
        scheme: Of the listeners without TLS.
    """
    frontends: list[Column[FrontendRow]] = [
        names("frontend", "name"),
        names("takes", lambda row: _words(row.match) or "all"),
        names("backends", lambda row: ", ".join(row.backends)),
    ]
    backends: list[Column[BackendRow]] = [
        names("backend", "name"),
        names("url", "url"),
        names("curve", "curve"),
    ]
    if "backends.poll" not in lacking:
        backends.append(names("polled", lambda row: _polled(row.poll)))
    rows, controls = _frontends(serving), serving.controls.given.values()
    if any((it.weight, it.max_share) != (1.0, 1.0) for it in controls):
        backends.append(names("weight", lambda row: f"{row.weight:g}"))
        backends.append(names("max_share", lambda row: f"{row.max_share:g}"))
    if serving.zones:
        frontends.append(names("zone", lambda row: row.zone or "-"))
        backends.append(names("zone", lambda row: row.zone or "-"))
    return Group(
        table("frontends", frontends, rows),
        Text(),
        table("backends", backends, _backends(serving)),
        Text(),
        *(Text(line) for key, line in _lines(serving, rows, lacking, scheme) if key not in lacking),
    )


def _polled(poll: Poll | None) -> str:
    if poll is None:
        return "-"
    return f"{poll.server}, {poll.path}" if poll.path else poll.server


def _frontends(serving: Serving) -> list[FrontendRow]:
    system = serving.system
    return [
        FrontendRow(
            rule.name,
            {key: value for key, value in vars(rule.match).items() if value is not None},
            [system.backends[b].name for b in system.graph.neighbours(f).tolist()],
            rule.resend_unanswered,
            serving.zones.frontends[f] if serving.zones else None,
        )
        for f, rule in enumerate(serving.proxy.frontends)
    ]


def _backends(serving: Serving) -> list[BackendRow]:
    given = serving.learning.given if serving.learning else [True] * len(serving.system.backends)
    rows = zip(
        serving.system.backends, serving.proxy.backends, serving.checks.polls, given, strict=True
    )
    return [
        BackendRow(
            backend.name,
            address.url,
            str(backend.curve) if known else "learned from nothing",
            address.authorization is not None,
            poll,
            serving.controls.of(backend.name).weight,
            serving.controls.of(backend.name).max_share,
            serving.zones.backends[b] if serving.zones else None,
        )
        for b, (backend, address, poll, known) in enumerate(rows)
    ]


def _learning(learning: LearningSettings, *, ask_usage: bool) -> dict[str, Any]:
    rules = learning.rules
    return {
        "file": str(learning.file) if learning.file else None,
        "every": learning.every,
        "work": learning.unit,
        "ask_usage": ask_usage,
        "half_life": rules.half_life,
        "half_life_completions": rules.half_life_completions,
        "optimism": rules.optimism,
        "false_alarms": rules.false_alarms,
        "kept": rules.kept,
    }


def _prefix_caches(serving: Serving) -> dict[str, Any] | None:
    """Settings of prefix caches; None if no backend has one."""
    system = serving.system
    if not system.has_caches:
        return None
    work = system.work
    return {
        "session": serving.proxy.session.decode() or None,
        "block_size": system.block_size,
        "prefill": work.prefill,
        "decode": work.decode,
        "mean": work.mean,
        "tokens": {b.name: b.cache_tokens for b in system.backends},
        "events": {
            system.backends[b].name: ", ".join(source.addresses())
            for b, source in serving.cache_events.items()
        },
    }


def _cache_words(serving: Serving) -> str:
    """Prefix caches in words, with each size once."""
    found = _prefix_caches(serving)
    if found is None:
        return ""
    sizes: dict[int, list[str]] = {}
    for name, tokens in found["tokens"].items():
        sizes.setdefault(tokens or 0, []).append(name)
    held = "; ".join(f"{tokens} tokens at {listed(where)}" for tokens, where in sizes.items())
    weights = ", ".join(f"{key} {found[key]:g}" for key in ("prefill", "decode"))
    session = f"session {found['session']}" if found["session"] else "by the beginnings of prompts"
    session += ", which have homes" * serving.proxy.homes
    events = f"; events of {listed(list(found['events']))}" if found["events"] else ""
    return f"{held}; {weights}; {session}{events}"


def _distance(serving: Serving) -> str:
    """Distances of zones in words; empty if all are as near."""
    if serving.zones is None:
        return ""
    given = _settings(serving.zones.distances)
    measured = given.pop("measured")
    return f"{'as measured, and ' * measured}{_words(given)}"


def _settings(group: Any) -> dict[str, Any]:
    """Values by their keys in the file, including nested groups."""
    found = {name: getattr(group, name) for name in settings_of(group)}
    return {name: _settings(it) if is_dataclass(it) else it for name, it in found.items()}


def _lines(
    serving: Serving, frontends: Sequence[FrontendRow], lacking: Collection[str], scheme: str
) -> Iterator[tuple[str, str]]:
    """Yield lines of the report, each with its key in the document."""
    proxy, learning, health = serving.proxy, serving.learning, serving.checks.health
    listeners = [
        f"{it.name} {scheme}{'s' if it.tls else ''}://{it.host}:{it.port}" for it in proxy.listeners
    ]
    rules, times, sizes = (
        _without(_settings(group), _below(key, lacking))
        for key, group in (("rules", serving.rules), ("times", proxy.times), ("sizes", proxy.sizes))
    )
    groups = {name: rule for name, rule in rules.items() if isinstance(rule, Mapping)}
    if serving.rules.sharing is None:
        groups["sharing"] = {}
    resent = [row.name for row in frontends if row.resend_unanswered]
    learned = learning and _words(_learning(learning, ask_usage=proxy.ask_usage))
    yield "listeners", f"listen       {', '.join(listeners)}"
    yield "admin", f"admin        {serving.admin or 'off'}"
    yield "admin_control", f"control      {_control(serving.control)}"
    yield "policy", f"policy       {serving.policy}, workers {serving.workers}"
    yield "learning", f"learning     {learned or 'off'}"
    yield "health", f"health       {_words(_settings(health)) if health else 'off'}"
    for name, rule in groups.items():
        yield f"rules.{name}", f"{name:<12} {_words(rule) or 'off'}"
    load = {key: it for key, it in rules.items() if key not in groups}
    if load:
        yield "rules", f"load         {_words(load)}"
    yield "frontends.resend_unanswered", f"resending    {', '.join(resent) or 'off'}"
    yield "times", f"times        {_words(times)}"
    yield "sizes", f"sizes        {_words(sizes)}"
    yield "trusted", f"trusted      {', '.join(map(str, proxy.trusted)) or 'nobody'}"
    yield "api_keys", f"API keys     {len(proxy.key_digests) or 'none needed'}"
    for name, limits in proxy.key_limits.items():
        yield "key_limits", f"limit        {name}: {_words(_settings(limits))}"
    yield "cors", f"CORS         {_words(_settings(proxy.cors)) if proxy.cors else 'off'}"
    yield "models", f"models       {_words(_settings(serving.models)) if serving.models else 'off'}"
    yield "prefix_caches", f"caches       {_cache_words(serving) or 'off'}"
    yield "distance", f"distance     {_distance(serving) or 'off'}"
    yield "picker", f"picker       {_words(_settings(proxy.picker))}"
    yield "access_log", f"access log   {serving.access_log or 'off'}"
    yield "log_format", f"log          {serving.log_format}"
    yield "tracing", f"tracing      {_words(_tracing(serving)) if serving.telemetry else 'off'}"
    yield "drain", f"drain        {serving.drain:g}, delay {serving.drain_delay:g}"
    yield "compiled", f"hot path     {hot_path.kind()}"


def _without(document: Mapping[str, Any], lacking: Collection[str]) -> dict[str, Any]:
    """Document without some of its keys, in nested ones and in each item of lists, too."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        below = _below(key, lacking)
        if key in lacking:
            continue
        if below and isinstance(value, Mapping):
            found[key] = _without(value, below)
        elif below and isinstance(value, list):
            found[key] = [_without(item, below) for item in value]
        else:
            found[key] = value
    return found


def _below(key: str, lacking: Collection[str]) -> set[str]:
    """Keys of `lacking` below one of the document, without that."""
    return {it.removeprefix(f"{key}.") for it in lacking if it.startswith(f"{key}.")}


def _control(control: ControlSettings | None) -> str:
    if control is None:
        return "off"
    return f"{', '.join(control.allowed)}, by {', '.join(control.key_names)}"


def _tracing(serving: Serving) -> dict[str, Any]:
    """Settings of tracing, without values of headers, as these may be secret."""
    telemetry, sampling = serving.telemetry, serving.proxy.sampling
    assert telemetry is not None
    collectors = (telemetry.spans, telemetry.metrics)
    return {
        "endpoint": {
            "traces": telemetry.spans and telemetry.spans.url,
            "metrics": telemetry.metrics and telemetry.metrics.url,
        },
        "headers": sorted({name for it in collectors if it for name, _ in it.headers}),
        "service": dict(telemetry.resource)["service.name"],
        "sample": sampling and sampling.share,
        "follows_caller": sampling and sampling.follows_parent,
        "continues": sampling and sampling.continues,
        "usage": serving.proxy.tokens,
    }


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value not in (None, {}))
