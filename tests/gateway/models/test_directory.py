"""When backends are asked for their models, by the clock that is given."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Self

from isocline.gateway.config import BackendAddress
from isocline.gateway.health_checks.probe import Answer, NoAnswerError
from isocline.gateway.models import ModelDirectory, ModelListing


@dataclass
class Scripted:
    """In place of HTTP."""

    answers: bool = True
    asked: list[int] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: Any) -> None:
        pass

    async def get(self, backend: int, *_: Any, **__: Any) -> Answer:
        self.asked.append(backend)
        if not self.answers:
            raise NoAnswerError("it is away")
        return Answer(200, json.dumps({"data": [{"id": f"m{backend}"}]}).encode(), 0.0)


def test_answers_are_fresh_and_kept_for_as_long_as_the_rule_says() -> None:
    async def scenario() -> None:
        now, client = [1000.0], Scripted()
        addresses = [BackendAddress(f"b{i}", f"http://127.0.0.1:{i + 1}") for i in range(2)]
        rule = ModelListing(fresh=5.0, kept=60.0)
        made = ModelDirectory(addresses, [[0, 1]], rule, clock=lambda: now[0], client=client)
        await made.start()

        async def names() -> list[str]:
            told = asyncio.get_running_loop().create_future()
            made.ask(lambda _: [0], told.set_result)
            return [model["id"] for model in await told]

        for now[0], times in ((1000.0, 1), (1004.9, 1), (1005.1, 2), (1010.0, 2)):
            assert await names() == ["m0", "m1"]
            assert client.asked == [0, 1] * times
        client.answers = False
        for now[0], known in ((1064.9, ["m0", "m1"]), (1080.0, list[str]())):
            assert await names() == known
        await made.close()

    asyncio.run(scenario())
