"""Counters of the core."""

from dataclasses import dataclass, field
from typing import final


@final
@dataclass(slots=True)
class Counts:
    """Since the start."""

    submitted: int = 0  # tasks
    finished: int = 0
    cancelled: int = 0
    given_up: int = 0
    started: list[int] = field(default_factory=lambda: [0, 0, 0])  # local, rack, remote
    ahead: int = 0  # of these, given while another one ran
    fetches: int = 0  # of data for tasks that waited elsewhere
    fetched: int = 0  # of the starts, where data was fetched before
    copies: int = 0  # of these, of stragglers
    copies_first: int = 0  # that were done before the straggler
    retried: int = 0  # after an exception, or too long a time
    lost: int = 0  # attempts whose server died
