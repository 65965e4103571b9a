"""Reading of a system file into `Serving`, with errors that name the line."""

import ipaddress
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, final

from isocline.gateway.config import Network, ProxySettings, digest
from isocline.gateway.serve.addresses import read_address
from isocline.gateway.serve.config import LearningSettings, Overrides, Serving
from isocline.gateway.serve.file_stamps import stamps_of
from isocline.gateway.serve.listeners import (
    backends_of,
    checks_of,
    frontends_of,
    listeners_of,
)
from isocline.gateway.serve.log_file import require_folder, require_writable
from isocline.gateway.serve.secret import read_keys
from isocline.gateway.serve.worker_core import make_core
from isocline.learn import Learning
from isocline.model.serving_settings import Rules
from isocline.model.systemfile import Served, load_served
from isocline.model.systemfile.serving_schema import LearnEntry, ServeEntry

T = TypeVar("T")


def read(path: Path, overrides: Overrides | None = None) -> Serving:
    """Read and check the settings, all but sockets, so that a start does not fail late.

    Raises:
        SystemFileError: The file, or something that it points to, cannot be used.
        UsageError: An override cannot be used.
        PolicyError: There is no such policy, or it needs rates or curves that are unknown.
    """
    sources = stamps_of([path])
    served = load_served(path)
    sources |= stamps_of(_files_of(served))  # before these are read, too
    serving = _Reader(served).serving()
    serving = replace(_overridden(serving, overrides or Overrides()), sources=sources)
    _require_usable(served, serving)
    return serving


def _files_of(served: Served) -> list[Path]:
    """Return the files that a reload reads again: certificates and secrets that the file names."""
    keys = served.serve.api_keys
    names: list[str | None] = [keys.file] if keys else []
    for listener in served.serve.listen:
        names += [listener.tls.certificate, listener.tls.key] if listener.tls else []
    for backend in served.entries.backends:
        names += [backend.ca_file, backend.authorization.file if backend.authorization else None]
    return [served.document.path.parent / name for name in names if name is not None]


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
        # Candidates are for the log alone, and cost 1 us for each backend and request.
        proxy=replace(serving.proxy, candidates=access_log is not None),
        policy=overrides.policy or serving.policy,
        workers=overrides.workers or serving.workers,
        access_log=access_log,
    )


def _require_usable(served: Served, serving: Serving) -> None:
    """Raise unless certificates can be read, the log written, and the policy set up."""
    if serving.access_log not in (None, "-"):
        with served.document.blaming("serve", "access_log"):
            require_writable(serving.access_log)
    for i, listener in enumerate(serving.proxy.listeners):
        if listener.tls:
            with served.document.blaming("serve", "listen", i, "tls"):
                listener.tls.context()
    for b, address in enumerate(serving.proxy.backends):
        with served.document.blaming("backends", b, "ca_file"):
            address.context()
    if served.serve.policy == serving.policy:
        with served.document.blaming("serve", "policy"):
            make_core(serving)
    else:  # as a command line has it
        make_core(serving)


@final
class _Reader:
    """Reader of one file."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._document = served.document
        self._folder = served.document.path.parent
        self._serve: ServeEntry = served.serve

    def serving(self) -> Serving:
        """Read all settings."""
        served, serve = self._served, self._serve
        return Serving(
            path=served.document.path,
            system=served.system,
            planned=served.knows_curves and served.knows_rates,
            policy=serve.policy,
            proxy=self._proxy(),
            rules=Rules(**{it.name: getattr(serve, it.name) for it in fields(Rules)}),
            checks=checks_of(served),
            learning=self._learning(),
            models=serve.models,
            admin=None if serve.admin is None else self._at("admin", read_address, serve.admin),
            workers=serve.workers,
            access_log=self._access_log(),
            drain=serve.drain,
            drain_delay=serve.drain_delay,
        )

    def _proxy(self) -> ProxySettings:
        backends, listeners = backends_of(self._served), listeners_of(self._served)
        with self._document.blaming("frontends"):
            return ProxySettings(
                backends=backends,
                frontends=frontends_of(self._served),
                listeners=listeners,
                times=self._serve.times,
                sizes=self._serve.sizes,
                trusted=self._trusted(),
                key_digests=self._key_digests(),
                cors=self._serve.cors,
                tokens=self._serve.learn is not None and self._serve.learn.work == "tokens",
                ask_usage=self._asks_usage(),
            )

    def _asks_usage(self) -> bool:
        learn = self._serve.learn
        if learn is None or not learn.ask_usage:
            return False
        if learn.work != "tokens":
            problem = "is of use only where tokens are counted; add work: tokens, or leave it out"
            self._document.fail(("serve", "learn", "ask_usage"), problem)
        return True

    def _trusted(self) -> tuple[Network, ...]:
        networks: list[Network] = []
        for i, text in enumerate(self._serve.trusted):
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                field = ("serve", "trusted", i)
                self._document.fail(field, f"{error}; give a network, as 10.0.0.0/8")
        return tuple(networks)

    def _key_digests(self) -> tuple[bytes, ...]:
        secret = self._serve.api_keys
        if secret is None:
            return ()
        keys = self._at("api_keys", read_keys, secret, self._folder)
        return tuple(digest(key) for key in keys)

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
            problem = f"is tokens, and given curves are in {served.system.work.unit}/s; give them "
            remedy = "in tokens/s, and their work: {unit: tokens, mean: TOKENS OF A REQUEST}"
            self._document.fail(("serve", "learn", "work"), problem + remedy)
        return LearningSettings(learning, path, entry.every, given, entry.work)

    def _access_log(self) -> str | None:
        name = self._serve.access_log
        return name if name in (None, "-") else str(self._folder / name)

    def _at(self, key: str, read_it: Callable[..., T], *arguments: Any) -> T:
        """Call a function, and put the line of `serve.key` before its error message."""
        with self._document.blaming("serve", key):
            return read_it(*arguments)
