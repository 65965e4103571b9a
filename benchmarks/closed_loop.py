"""A closed loop of clients: each asks again as soon as it has its answer."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class ClosedLoop:
    """Requests of one length, whole answers.

    Attributes:
        ends: When answers were complete, s of `time.monotonic`.
        errors: Answers with another status than 200.
    """

    url: str
    model: str
    prompt: int  # words
    tokens: int
    timeout: float = 60.0  # s
    ends: list[float] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)

    def rate(self, clients: int, seconds: float, ramp: float = 2.0) -> float:
        """Answers per second of so many clients, after the ramp, s."""
        self.ends, self.errors = [], []
        stop = time.monotonic() + ramp + seconds
        threads = [threading.Thread(target=self._ask_until, args=(stop,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(stop - seconds <= end < stop for end in self.ends) / seconds

    def _ask_until(self, stop: float) -> None:
        place = urlsplit(self.url)
        body = json.dumps(
            {
                "model": self.model,
                "messages": [{"role": "user", "content": "word " * self.prompt}],
                "max_tokens": self.tokens,
                "ignore_eos": True,
                "cache_prompt": False,
            }
        )
        link = http.client.HTTPConnection(place.netloc, timeout=self.timeout)
        while time.monotonic() < stop:
            link.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            answer = link.getresponse()
            answer.read()
            if answer.status == http.client.OK:
                self.ends.append(time.monotonic())
            else:
                self.errors.append(answer.status)
                time.sleep(0.1)
        link.close()
