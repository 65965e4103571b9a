"""Reading of a system file into `Serving`, with errors that name the line."""

import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, final

from isocline.cores import require_processes
from isocline.gateway.cache_events import MOST_PORT, CacheEventSource, require_reader
from isocline.gateway.config import Network, ProxySettings, digest
from isocline.gateway.core.core import Core
from isocline.gateway.core.zones import Zones, one_place
from isocline.gateway.file_stamps import Stamps, stamps_of
from isocline.gateway.proxy.sharing import KEY
from isocline.gateway.serve.addresses import read_address
from isocline.gateway.serve.config import LearningSettings, Overrides, Serving
from isocline.gateway.serve.controls import BackendControl, Controls, ControlSettings
from isocline.gateway.serve.listeners import (
    backends_of,
    checks_of,
    frontends_of,
    listeners_of,
)
from isocline.gateway.serve.log_file import require_folder, require_writable
from isocline.gateway.serve.secret import read_keys
from isocline.gateway.serve.unreachable import unreachable
from isocline.gateway.serve.worker_core import idle_weights, make_core
from isocline.gateway.telemetry.environment import TelemetrySettings, sampling_of, telemetry_of
from isocline.learn import Learning
from isocline.model.endpoint import Found
from isocline.model.serving_settings import KeyLimit, PickerSettings, ResidencyRule, Rules
from isocline.model.systemfile import notes
from isocline.model.systemfile.document import Document
from isocline.model.systemfile.filled import samples
from isocline.model.systemfile.serving import Served, read_served, served
from isocline.model.systemfile.serving_schema import LearnEntry, ServeEntry
from isocline.model.zones import known
from isocline.policies.parse import parse
from isocline.user_code import is_own

T = TypeVar("T")


class SystemFile(NamedTuple):
    """Contents of a system file, from which settings can be made any number of times."""

    document: Document
    stamps: Stamps  # of the file, taken before reading


def opened(path: Path) -> SystemFile:
    """Read a file without checking its contents; raises SystemFileError."""
    stamps = stamps_of([path])
    return SystemFile(read_served(path), stamps)


def read(path: Path, overrides: Overrides | None = None, found: Found | None = None) -> Serving:
    """Read and check the settings of a file, see `serving_of`."""
    return serving_of(opened(path), overrides, found)


def serving_of(
    file: SystemFile, overrides: Overrides | None = None, found: Found | None = None
) -> Serving:
    """Check all settings except sockets, so that a bad one fails at the start and not later.

    Backends in `found` are added to those of the file. Each template is checked with a made-up
    backend, so that an error in it shows before the first endpoint is discovered.

    Raises:
        SystemFileError: The file, or something that it points to, cannot be used.
        UsageError: An override cannot be used.
        PolicyError: There is no such policy, or it needs rates or curves that are unknown.
    """
    real = served(file.document, found)
    discover = real.entries.discover
    checked = [real, *([served(file.document, samples(real.entries))] if discover else [])]
    sources = dict(file.stamps)
    for each in checked:
        sources |= stamps_of(_files_of(each))  # stamps are taken before these are read
    overrides = overrides or Overrides()
    readers = (_Reader(each, overrides.workers) for each in checked)
    serving, *tried = (_overridden(reader.serving(), overrides) for reader in readers)
    serving = replace(serving, sources=sources)
    for each, its in zip(checked, (serving, *tried), strict=True):
        _require_authorities(each, its)
        if overrides.plane == "built-in":
            _require_built_in(each)
        else:
            _require_no_loads(each)
    if overrides.fit is not None:
        serving, *_ = (overrides.fit(*it) for it in zip(checked, (serving, *tried), strict=True))
    note = idle_weights(serving, _require_usable(real, serving))
    own = (*_blind(serving), *_far(serving), *([note] if note else []))
    return replace(serving, notes=(*serving.notes, *own))


def _files_of(served: Served) -> list[Path]:
    """Return the files that a reload reads again: certificates and secrets that the file names."""
    serve = served.serve
    keys = [serve.api_keys, serve.admin_control and serve.admin_control.keys]
    names: list[str | None] = [it.file for it in keys if it]
    for listener in served.serve.listen:
        names += [listener.tls.certificate, listener.tls.key] if listener.tls else []
    for backend in served.entries.backends:
        names += [backend.ca_file, backend.authorization.file if backend.authorization else None]
    return [served.document.path.parent / name for name in names if name is not None]


def _blind(serving: Serving) -> Iterator[str]:
    """Note that the policy ignores the prefix caches in the file; a user's policy is not judged."""
    policy = parse(serving.policy)
    if serving.system.has_caches and not is_own(type(policy)) and not policy.counts_in_caches():
        yield (
            f"policy {serving.policy} does not consider what backends have cached; choose one that "
            "scores by price, such as gmsr_secant or gmsr, or leave prefix_cache out"
        )


def _far(serving: Serving) -> Iterator[str]:
    """Note that the policy ignores distances; a user's policy is not judged."""
    policy = parse(serving.policy)
    if serving.zones and not is_own(type(policy)) and not policy.counts_distances():
        yield (
            f"policy {serving.policy} does not consider distances; choose one that scores by "
            "price, such as gmsr_secant or gmsr, or leave serve.distance out"
        )


def _overridden(serving: Serving, overrides: Overrides) -> Serving:
    if overrides.listen is not None:
        address = read_address(overrides.listen)
        first = serving.proxy.listeners[0]
        listener = replace(first, host=address.host, port=address.port)
        listeners = (listener, *serving.proxy.listeners[1:])
        serving = replace(serving, proxy=replace(serving.proxy, listeners=listeners))
    if overrides.admin is not None:
        serving = replace(serving, admin=read_address(overrides.admin))
    access_log = overrides.access_log or serving.access_log
    return replace(
        serving,
        # Only the log needs the candidates, which cost 1 us per backend and request.
        proxy=replace(
            serving.proxy,
            candidates=access_log is not None,
            request_ids=access_log is not None,
        ),
        policy=overrides.policy or serving.policy,
        access_log=access_log,
        log_format=overrides.log_format or serving.log_format,
    )


def _require_usable(served: Served, serving: Serving) -> Core:
    """Make a core, after checks of certificates, access log, number of workers and policy."""
    if served.serve.workers == serving.workers:
        with served.document.blaming("serve", "workers"):
            require_processes("workers", serving.workers)
    else:  # as a command line has it
        require_processes("--workers", serving.workers)
    if serving.control is not None and serving.admin is None:
        problem = "has no effect without an admin listener; add admin: HOST:PORT"
        served.document.fail(("serve", "admin_control"), problem)
    if serving.access_log not in (None, "-"):
        with served.document.blaming("serve", "access_log"):
            require_writable(serving.access_log)
    for i, listener in enumerate(serving.proxy.listeners):
        if listener.tls:
            with served.document.blaming("serve", "listen", i, "tls"):
                listener.tls.context()
    if served.serve.policy == serving.policy:
        with served.document.blaming("serve", "policy"):
            return make_core(serving)
    return make_core(serving)  # as a command line has it


def _require_authorities(served: Served, serving: Serving) -> None:
    """Raise unless the CA file of each backend can be read."""
    for b, address in enumerate(serving.proxy.backends):
        with served.document.blaming("backends", b, "ca_file"):
            address.context()


def _require_built_in(served: Served) -> None:
    """Raise where a file asks for what another plane does: HTTP/2 to backends, a picker."""
    if served.serve.picker != PickerSettings():
        problem = "is read with --plane picker alone; serve with that, or leave it out"
        served.document.fail(("serve", "picker"), problem)
    for b, backend in enumerate(served.entries.backends):
        if backend.http2:
            problem = "is spoken by --plane envoy alone; serve with that, or leave it out"
            served.document.fail(("backends", b, "http2"), problem)


def _require_no_loads(served: Served) -> None:
    """Raise if backends hold only some models, of which only the built-in plane knows."""
    if served.system.has_residency:
        problem = "is for the built-in plane alone; serve without --plane, or leave models out"
        served.document.fail(("models",), problem)


@final
class _Reader:
    """Reader of one file."""

    def __init__(self, served: Served, workers: int | None = None) -> None:
        """Initialise; `workers` is the number that the command line has, if it has one."""
        self._served = served
        self._workers = workers or served.serve.workers
        self._document = served.document
        self._folder = served.document.path.parent
        self._serve: ServeEntry = served.serve

    def serving(self) -> Serving:
        """Read all settings."""
        served, serve = self._served, self._serve
        return Serving(
            path=served.document.path,
            system=served.system,
            unplanned=served.unplanned,
            policy=serve.policy,
            proxy=self._proxy(),
            rules=Rules(**{it.name: getattr(serve, it.name) for it in fields(Rules)}),
            checks=checks_of(served),
            learning=self._learning(),
            models=serve.models,
            admin=None if serve.admin is None else self._at("admin", read_address, serve.admin),
            workers=self._workers,
            access_log=self._access_log(),
            control=self._control(),
            controls=Controls(
                {
                    backend.name: BackendControl(weight=backend.weight, max_share=backend.max_share)
                    for backend in served.entries.backends
                }
            ),
            log_format=serve.log_format,
            telemetry=self._telemetry(),
            drain=serve.drain,
            drain_delay=serve.drain_delay,
            cache_events=self._cache_events(),
            residency=self._residency(),
            zones=self._zones(),
            notes=(*served.notes, *notes(served.system), *unreachable(served)),
            discover=tuple(served.entries.discover),
        )

    def _proxy(self) -> ProxySettings:
        backends, listeners = backends_of(self._served), listeners_of(self._served)
        keys = self._keys()
        self._require_keys_for_tenants(keys)
        tracing = self._serve.tracing
        with self._document.blaming("frontends"):
            return ProxySettings(
                backends=backends,
                frontends=frontends_of(self._served),
                listeners=listeners,
                times=self._serve.times,
                sizes=self._serve.sizes,
                trusted=self._trusted(),
                key_digests=tuple(map(digest, keys)),
                key_names=tuple(keys.values()),
                key_limits=self._key_limits(tuple(dict.fromkeys(keys.values()))),
                cors=self._serve.cors,
                tokens=self._counts_tokens(),
                prompts=self._served.system.has_caches,
                session=self._session(),
                picker=self._serve.picker,
                homes=self._homes(),
                residency=self._served.system.has_residency,
                token_block=self._served.system.block_size if self._cache_events() else 0,
                ask_usage=self._asks_usage(),
                sampling=self._at("tracing", sampling_of, tracing, os.environ) if tracing else None,
            )

    def _counts_tokens(self) -> bool:
        """Whether token usage is read: for curves, caches, a collector or key limits."""
        learn, tracing = self._serve.learn, self._serve.tracing
        limits = self._serve.key_limits.values()
        return (
            (learn is not None and learn.work == "tokens")
            or self._served.system.has_caches
            or (tracing is not None and tracing.usage)
            or any(limit.tokens is not None for limit in limits)
        )

    def _session(self) -> bytes:
        """Name of the session header, in lower case; empty if there is none.

        Refused without prefix caches, or where prompts count as no work: it would have no effect.
        """
        system, name = self._served.system, self._serve.session
        if system.has_caches and (system.work.unit != "tokens" or system.work.prefill == 0.0):
            remedy = "curves in tokens/s, and work: {unit: tokens, mean: ..., prefill: ...}"
            self._document.fail(
                ("work",), f"counts prompts as no work, so caches save none; give {remedy}"
            )
        if name is not None and not system.has_caches:
            problem = "has no effect without caches; add prefix_cache: {tokens: ...} at the top"
            self._document.fail(("serve", "session"), problem)
        return (name or "").lower().encode()

    def _homes(self) -> bool:
        """Whether prompts have homes; refused without prefix caches, where they have no effect."""
        chosen, cached = self._serve.cache_homes, self._served.system.has_caches
        if chosen and not cached:
            problem = "has no effect without caches; add prefix_cache: {tokens: ...} at the top"
            self._document.fail(("serve", "cache_homes"), problem)
        return cached and (self._workers > 1 if chosen is None else chosen)

    def _residency(self) -> ResidencyRule | None:
        """How models are told, loaded and unloaded; refused where it would have no effect."""
        entry, system = self._serve.residency, self._served.system
        if not system.has_residency:
            if entry is not None:
                problem = "has no effect without models at the top, and memory of a backend"
                self._document.fail(("serve", "residency"), problem)
            return None
        if entry is None:
            return ResidencyRule()
        if entry.unload is not None and entry.load is None:
            problem = "has no effect without load; add it, or leave it out"
            self._document.fail(("serve", "residency", "unload"), problem)
        if entry.load is not None and self._workers > 1:
            problem = (
                f"works in one process, and there are {self._workers} workers; give workers: 1"
            )
            self._document.fail(("serve", "residency", "load"), problem)
        return entry.make()

    def _zones(self) -> Zones | None:
        """Zones and their distances; refused where they would have no effect."""
        entries, distances = self._served.entries, self._serve.distance
        frontends = tuple(it.zone for it in entries.frontends)
        backends = tuple(it.zone for it in entries.backends)
        if distances is None:
            for key, zones in (("frontends", frontends), ("backends", backends)):
                for i, zone in enumerate(zones):
                    if zone is not None:
                        problem = (
                            "has no effect without serve.distance: {zone: SECONDS}, or measured"
                        )
                        self._document.fail((key, i, "zone"), problem)
            return None
        to_find = bool(entries.discover)  # backends may have zones once they are found
        for key, zones in (("frontends", frontends), ("backends", backends)):
            if not known(zones) and not (to_find and key == "backends"):
                problem = f"has no effect without a zone of any of the {key}; add zone: NAME"
                self._document.fail(("serve", "distance"), problem)
        if distances.measured:
            if self._serve.health is None:
                problem = "is measured by health checks; add health: {path: /health}"
                self._document.fail(("serve", "distance"), problem)
            if not one_place(frontends):
                problem = (
                    "is measured from where this router runs, and its frontends are of several "
                    "zones; run a router in each, or give the distance: {zone: SECONDS}"
                )
                self._document.fail(("serve", "distance"), problem)
        return Zones(frontends, backends, distances)

    def _cache_events(self) -> dict[int, CacheEventSource]:
        """Where backends publish their cache events, by backend number."""
        found: dict[int, CacheEventSource] = {}
        for b, backend in enumerate(self._served.entries.backends):
            if backend.cache_events is None:
                for name, idle in (("cache_replay", None), ("cache_ranks", 1)):
                    if getattr(backend, name) != idle:
                        problem = "has no effect without cache_events: tcp://HOST:PORT"
                        self._document.fail(("backends", b, name), problem)
                continue
            field = ("backends", b, "cache_events")
            if not self._served.system.backends[b].cache_tokens:
                problem = "has no effect without a cache; add prefix_cache: {tokens: ...}"
                self._document.fail(field, problem)
            with self._document.blaming(*field):
                require_reader()
            found[b] = CacheEventSource(
                backend.cache_events, backend.cache_replay, backend.cache_ranks
            )
            if found[b].last_port > MOST_PORT:
                problem = f"gives the last one ports beyond {MOST_PORT}"
                self._document.fail(("backends", b, "cache_ranks"), problem)
        return found

    def _asks_usage(self) -> bool:
        learn = self._serve.learn
        if learn is None or not learn.ask_usage:
            return False
        if not self._counts_tokens():
            problem = "has no effect unless tokens are counted; add work: tokens, or leave it out"
            self._document.fail(("serve", "learn", "ask_usage"), problem)
        return True

    def _trusted(self) -> tuple[Network, ...]:
        networks: list[Network] = []
        for i, text in enumerate(self._serve.trusted):
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                field = ("serve", "trusted", i)
                self._document.fail(field, f"{error}; give a network, such as 10.0.0.0/8")
        return tuple(networks)

    def _keys(self) -> dict[str, str]:
        """Read the API keys; returns their names by key, empty if no key is needed."""
        secret = self._serve.api_keys
        return {} if secret is None else self._at("api_keys", read_keys, secret, self._folder)

    def _control(self) -> ControlSettings | None:
        entry = self._serve.admin_control
        if entry is None:
            return None
        with self._document.blaming("serve", "admin_control", "keys"):
            keys = read_keys(entry.keys, self._folder)
        return ControlSettings(
            tuple(map(digest, keys)), tuple(keys.values()), tuple(dict.fromkeys(entry.allow))
        )

    def _require_keys_for_tenants(self, keys: Mapping[str, str]) -> None:
        sharing = self._serve.sharing
        if sharing is None or sharing.tenant != KEY:
            return
        for name in sharing.weights if keys else ():
            if not any(fnmatch(known, name) for known in keys.values()):
                problem = f"is not the name of a key; known: {', '.join(keys.values())}"
                self._document.fail(("serve", "sharing", "weights", name), problem)
        if not keys:
            problem = "is key, but no API keys are set; add serve.api_keys, or name a header"
            self._document.fail(("serve", "sharing", "tenant"), problem)

    def _key_limits(self, names: Sequence[str]) -> dict[str, KeyLimit]:
        """Limits by key name: those of the name itself, else of the first pattern it matches."""
        entries = self._serve.key_limits
        if entries and not names:
            problem = "limits API keys, but none are set; add serve.api_keys"
            self._document.fail(("serve", "key_limits"), problem)
        found: dict[str, KeyLimit] = {}
        for name in names:
            patterns = (it for it in entries if fnmatch(name, it))
            entry = name if name in entries else next(patterns, None)
            if entry is not None:
                found[name] = entries[entry]
        for pattern in entries:
            if not any(fnmatch(name, pattern) for name in names):
                problem = f"is not the name of a key; known: {', '.join(names)}"
                self._document.fail(("serve", "key_limits", pattern), problem)
        return found

    def _learning(self) -> LearningSettings | None:
        served, entry = self._served, self._serve.learn
        if entry is None and served.knows_curves:
            return None
        entry = entry or LearnEntry()
        path = None if entry.file is None else self._folder / entry.file
        if path is not None:
            with self._document.blaming("serve", "learn", "file"):
                require_folder(path.parent)
        names = {it.name for it in fields(Learning)}
        options = {name: it for name, it in entry if name in names and it is not None}
        with self._document.blaming("serve", "learn"):
            learning = Learning(**options)
        given = tuple(backend.curve is not None for backend in served.entries.backends)
        if entry.work == "tokens" and any(given) and served.system.work.unit != "tokens":
            problem = f"is tokens, but given curves are in {served.system.work.unit}/s; give them "
            remedy = "in tokens/s, and their work: {unit: tokens, mean: TOKENS OF A REQUEST}"
            self._document.fail(("serve", "learn", "work"), problem + remedy)
        return LearningSettings(learning, path, entry.every, given, entry.work)

    def _telemetry(self) -> TelemetrySettings | None:
        tracing = self._serve.tracing
        if tracing is None:
            return None
        telemetry = import_module("isocline.gateway.telemetry.exporter")  # needs an extra
        settings = self._at("tracing", telemetry_of, tracing, os.environ)
        for collector in (settings.spans, settings.metrics):
            if collector is not None:
                self._at("tracing", telemetry.context_of, collector)
        return settings if settings.spans or settings.metrics else None

    def _access_log(self) -> str | None:
        name = self._serve.access_log
        return name if name in (None, "-") else str(self._folder / name)

    def _at(self, key: str, read_it: Callable[..., T], *arguments: Any) -> T:
        """Call a function, and prefix its error message with the line of `serve.key`."""
        with self._document.blaming("serve", key):
            return read_it(*arguments)
