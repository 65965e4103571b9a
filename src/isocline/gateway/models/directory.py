"""Directory of models: asks backends for their models when a client does."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import final

from isocline.gateway.config import BackendAddress
from isocline.gateway.health_checks.probe import Client, NoAnswerError, Probe
from isocline.gateway.health_checks.results import Count
from isocline.gateway.models.catalogue import Catalogue, Model, Takers, models_in
from isocline.model.serving_settings import ModelListing

_PATH = "/v1/models"
_OK = 200
_LARGEST = 2**20  # bytes of a list: a thousand models of vLLM, which says 700 bytes of each


@final
class ModelDirectory:
    """Answers to `GET /v1/models` for all backends.

    directory = ModelDirectory(settings.backends, neighbours, ModelListing())
    await directory.start()
    directory.ask(takers, show)
    ...
    await directory.close()
    """

    def __init__(
        self,
        addresses: Sequence[BackendAddress],
        neighbours: Sequence[Sequence[int]],
        rule: ModelListing,
        before: "ModelDirectory | None" = None,
        clock: Callable[[], float] = monotonic,
        client: Probe | None = None,
    ) -> None:
        """Initialise without asking yet.

        Args:
            addresses: Addresses of the backends.
            neighbours: Numbers of each frontend's backends.
            rule: Settings.
            before: Previous directory; its lists of equal addresses are taken over.
            clock: Clock of both, s.
            client: Client for requests, by default over HTTP.

        Raises:
            UsageError: A backend's certificates cannot be read.
        """
        self._addresses = tuple(addresses)
        self._rule = rule
        self._catalogue = Catalogue([it.name for it in addresses], neighbours, rule)
        self._clock = clock
        # Lists are asked for when a client wants one, and seldom twice within seconds.
        self._client = client or Client(addresses, clock, keeps=False)
        self._counts = [Count() for _ in addresses]
        self._waiting: list[tuple[Takers, Callable[[list[Model]], None]]] = []
        self._task: asyncio.Task[None] | None = None
        if before is not None:
            known = dict(zip(before._addresses, before._catalogue.answers, strict=True))
            self._catalogue.answers = [known.get(address) for address in addresses]

    async def start(self) -> None:
        """Open the client."""
        await self._client.__aenter__()

    async def close(self) -> None:
        """Stop; waiting callers get the lists that are known."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    def ask(self, takers: Takers, then: Callable[[list[Model]], None]) -> None:
        """Call `then` with the models of these frontends, at once if they are known."""
        now = self._clock()
        if self._catalogue.is_fresh(now):
            then(self._catalogue.union(now, takers))
            return
        self._waiting.append((takers, then))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._round())
            self._task.add_done_callback(self._done)

    def learned(self, backend: int, models: dict[str, Model]) -> None:
        """Take in a list that a backend has given to someone else."""
        self._catalogue.answered(backend, self._clock(), models)

    async def _round(self) -> None:
        async with asyncio.TaskGroup() as group:
            for backend in range(len(self._addresses)):
                group.create_task(self._ask(backend))
        self._catalogue.asked(self._clock())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        waiting, self._waiting = self._waiting, []
        loop, now = asyncio.get_running_loop(), self._clock()
        for takers, then in waiting:
            loop.call_soon(partial(then, self._catalogue.union(now, takers)))
        if not task.cancelled() and (defect := task.exception()) is not None:
            loop.call_exception_handler({"message": "asking for models", "exception": defect})

    async def _ask(self, backend: int) -> None:
        name = self._addresses[backend].name
        try:
            models = await self._models(backend)
        except NoAnswerError as error:
            self._counts[backend].note(name, "models", str(error))
        else:
            self._counts[backend].note(name, "models", "")
            self._catalogue.answered(backend, self._clock(), models)

    async def _models(self, backend: int) -> dict[str, Model]:
        answer = await self._client.get(backend, _PATH, self._rule.timeout, _LARGEST)
        if answer.status != _OK:
            raise NoAnswerError(f"{_PATH}: status {answer.status}")
        models = None if answer.body is None else models_in(answer.body)
        if models is None:
            raise NoAnswerError(f"{_PATH} is no list of models of up to {_LARGEST} bytes")
        return models
