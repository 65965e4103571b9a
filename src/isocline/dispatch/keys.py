"""Keys of tasks."""

from collections import Counter
from threading import Lock
from typing import final

from isocline.errors import UsageError


@final
class Keys:
    """Of one scheduler. With a journal, in which results stand by key, each one is given once."""

    def __init__(self, once: bool) -> None:
        self._once = once
        self._given: Counter[str] = Counter()
        self._lock = Lock()

    def make(self, function: str, chunk: str | None, job: str) -> str:
        """A key for a task that was given none, the same one in the next run of the same tasks."""
        key = f"{function}({chunk or ''})"
        if job:
            key = f"{job}/{key}"
        if not self._once:
            return key
        with self._lock:
            self._given[key] += 1
            count = self._given[key]
        return key if count == 1 else f"{key}#{count}"

    def check(self, key: str) -> str:
        """A key that was given; raises UsageError if it was given before."""
        if self._once:
            with self._lock:
                self._given[key] += 1
                if self._given[key] > 1:
                    raise UsageError(
                        f"submit: key {key!r} is given a second time; with a journal give each "
                        "task another"
                    )
        return key
