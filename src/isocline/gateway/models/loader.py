"""Loader: carries out the core's calls to load and unload models, and asks what backends hold.

    loader = ModelLoader(addresses, bounded, rule, events, client)
    await loader.start()
    loader.carry_out(core.take_calls(now))
    ...
    await loader.close()

Every call ends in an event: it was done, it was refused, or it was not answered in time.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, Protocol, final
from urllib.parse import quote

from isocline.gateway.core.model_memory import ModelCall
from isocline.gateway.health_checks.probe import Answer, NoAnswerError
from isocline.gateway.health_checks.results import Count
from isocline.gateway.load_reports.adapters import adapters_in
from isocline.gateway.models.catalogue import Model, models_in
from isocline.model.serving_settings import AdminCall, ResidencyRule
from isocline.structured_log import event

_log = logging.getLogger("isocline.serve.models")

_OK, _NOT_FOUND, _CLIENT_ERROR, _SERVER_ERROR = 200, 404, 400, 500
_LARGEST = 2**20  # bytes of an answer, as of a list of models
_LIST, _METRICS = "/v1/models", "/metrics"
_ASKED_WITHIN = 5.0  # s
_ALREADY = b"already"  # vLLM: "The lora adapter 'x' has already been loaded."


class Events(Protocol):
    """Receiver of what the loader learns."""

    def models_told(self, backend: int, names: Iterable[str], asked: float, complete: bool) -> None:
        """A backend has these models, and no others if the list is complete."""

    def call_ended(self, backend: int, call: ModelCall) -> None:
        """A backend has done what it was asked for."""

    def call_failed(self, backend: int, call: ModelCall, unknown: bool) -> None:
        """It has not; `unknown`: perhaps it has, or will."""


class Caller(Protocol):
    """Client of backends, which are known by their numbers."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, kind: Any, error: Any, trace: Any, /) -> None: ...

    async def get(self, backend: int, path: str, timeout: float, largest: int) -> Answer:
        """GET a path; raises NoAnswerError."""
        ...

    async def send(
        self, backend: int, request: tuple[str, str, bytes], timeout: float, largest: int
    ) -> Answer:
        """Send (method, path, JSON); raises NoAnswerError."""
        ...


@final
class ModelLoader:
    """Calls to the backends with memory for models, each of which has one at a time."""

    def __init__(
        self,
        names: Sequence[str],
        bounded: Sequence[int],
        rule: ResidencyRule,
        events: Events,
        client: Caller,
        on_list: Callable[[int, dict[str, Model]], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Initialise without calling yet.

        Args:
            names: Names of all backends.
            bounded: Numbers of those that hold only some models.
            rule: Settings.
            events: Receiver of events.
            client: Client, which this opens and closes.
            on_list: Called with each list of models that a backend gives.
            clock: s.
        """
        self._names = names
        self._bounded = tuple(bounded)
        self._rule = rule
        self._events = events
        self._client = client
        self._on_list = on_list
        self._clock = clock
        self._counts = [Count() for _ in names]
        self._calls: set[asyncio.Task[None]] = set()
        self._polls: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the client, and begin to ask."""
        await self._client.__aenter__()
        if self._rule.source != "calls":
            loop = asyncio.get_running_loop()
            self._polls = [loop.create_task(self._poll(backend)) for backend in self._bounded]

    async def close(self) -> None:
        """Stop; of calls under way the outcome is not known."""
        tasks = [*self._polls, *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    def carry_out(self, calls: Iterable[tuple[int, ModelCall]]) -> None:
        """Make these calls."""
        for backend, call in calls:
            task = asyncio.get_running_loop().create_task(self._call(backend, call))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def ask(self, backend: int) -> None:
        """Ask a backend once what it holds, and report it."""
        asked = self._clock()
        try:
            names, complete = await self._held(backend)
        except NoAnswerError as error:
            self._counts[backend].note(self._names[backend], "models", str(error))
        else:
            self._counts[backend].note(self._names[backend], "models", "")
            self._events.models_told(backend, names, asked, complete)

    async def _poll(self, backend: int) -> None:
        while True:
            await self.ask(backend)
            await asyncio.sleep(self._rule.every)

    async def _held(self, backend: int) -> tuple[Iterable[str], bool]:
        """Return the models that a backend holds, and whether it has no others."""
        path = _LIST if self._rule.source == "models" else _METRICS
        answer = await self._client.get(backend, path, _ASKED_WITHIN, _LARGEST)
        if answer.status != _OK or answer.body is None:
            raise NoAnswerError(f"{path}: status {answer.status}, or more than {_LARGEST} bytes")
        if path == _METRICS:
            return adapters_in(answer.body.decode(errors="replace")), False
        models = models_in(answer.body)
        if models is None:
            raise NoAnswerError(f"{path} is no list of models")
        if self._on_list is not None:
            self._on_list(backend, models)
        return models, True

    async def _call(self, backend: int, call: ModelCall) -> None:
        unknown = True  # if it is broken off
        problem = "the router does not wait for it any longer"
        try:
            problem, unknown = await self._problem(backend, call)
        finally:
            if problem:
                self._note(backend, call, problem)
                self._events.call_failed(backend, call, unknown)
            else:
                self._events.call_ended(backend, call)

    async def _problem(self, backend: int, call: ModelCall) -> tuple[str, bool]:
        """Make a call; returns its problem, empty for none, and whether its outcome is unknown."""
        how = self._rule.load if call.loads else self._rule.unload
        if how is None:
            return "there is no such call in serve.residency", False
        request = request_of(how, call.model)
        try:
            answer = await self._client.send(backend, request, self._rule.timeout, _LARGEST)
        except NoAnswerError as error:
            return str(error), True
        if answer.status < _CLIENT_ERROR:
            return "", False
        body = answer.body or b""
        if call.loads and answer.status < _SERVER_ERROR and _ALREADY in body:
            return "", False
        if not call.loads and answer.status == _NOT_FOUND:
            return "", False  # it is not there
        said = body[:200].decode(errors="replace")
        return f"{how.path}: status {answer.status}: {said}", False

    def _note(self, backend: int, call: ModelCall, problem: str) -> None:
        verb, name = "load" if call.loads else "unload", self._names[backend]
        _log.warning(
            "backend %s: could not %s %r: %s",
            name,
            verb,
            call.model,
            problem,
            extra=event("model.call_failed", backend=name),
        )


def request_of(how: AdminCall, model: str) -> tuple[str, str, bytes]:
    """Method, path and body of a call, with the model's name in place of `{model}`."""
    path = how.path.replace("{model}", quote(model, safe=""))
    return how.method, path, json.dumps(_filled(how.body, model)).encode()


def _filled(part: Any, model: str) -> Any:
    if isinstance(part, str):
        return part.replace("{model}", model)
    if isinstance(part, dict):
        return {key: _filled(value, model) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, model) for value in part]
    return part
