"""Statistics of the placement of tasks on a Dask cluster."""

from dataclasses import asdict, dataclass
from typing import Any, final

from isocline.pages.documents import Head, self_contained
from isocline.pages.markup import element


@final
@dataclass(frozen=True)
class Statistics:
    """Counts since `install`, and what was measured.

    Attributes:
        policy: Name of the policy.
        local: Tasks bound to a worker that holds their data.
        remote: Tasks bound to another worker.
        left_to_dask: Tasks that Dask has placed itself.
        waiting: Tasks that wait for a worker.
        handed_back: Tasks given back to Dask as no worker that holds their data was left.
        recalled: Tasks taken back from behind one that took too long.
        failed_lookups: Look-ups of locations that failed; those tasks are Dask's to place.
        local_seconds: Mean duration of a local task, s; that assumed until some have ended.
        remote_seconds: Mean duration of a remote one, s.
        gap_seconds: Mean time for which a thread is idle between two tasks, s.
        scheduler_seconds: Time spent in all of this in the scheduler, s.
    """

    policy: str
    local: int
    remote: int
    left_to_dask: int
    waiting: int
    handed_back: int
    recalled: int
    failed_lookups: int
    local_seconds: float
    remote_seconds: float
    gap_seconds: float
    scheduler_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain data."""
        return asdict(self)


_ROWS = {
    "policy": "Policy",
    "local": "Tasks bound near their data",
    "remote": "Tasks bound elsewhere",
    "left_to_dask": "Tasks placed by Dask itself",
    "waiting": "Tasks that wait for a worker",
    "handed_back": "Tasks handed back to Dask, as no holder was left",
    "recalled": "Tasks taken back from behind a late one",
    "failed_lookups": "Failed look-ups of locations",
    "local_seconds": "Mean duration near the data, s",
    "remote_seconds": "Mean duration elsewhere, s",
    "gap_seconds": "Mean idle time between two tasks, s",
    "scheduler_seconds": "Time spent deciding, s",
}


def page(statistics: Statistics) -> str:
    """HTML document with all statistics."""
    values = statistics.to_dict()
    rows = (
        element("tr", element("th", words, scope="row"), element("td", _shown(values[name])))
        for name, words in _ROWS.items()
    )
    body = element(
        "main",
        element("h1", "Tasks near their data"),
        element("table", element("tbody", *rows)),
        class_="page",
    )
    return self_contained(Head("Isocline on Dask", "Where tasks were bound, and why."), body)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
