"""The process that sends load: one run after the other, each as its parent tells it."""

import pickle
import sys
import time
from dataclasses import dataclass
from typing import final

from isocline.demo.child import send
from isocline.loadgen import LoadSettings, Schedule
from isocline.loadgen.drive import drive
from isocline.loadgen.tally import Tally


@final
@dataclass(frozen=True)
class Order:
    """One run."""

    settings: LoadSettings
    schedule: Schedule
    start: float  # s, monotonic


@final
@dataclass(frozen=True)
class Sent:
    """What came of it."""

    tally: Tally
    cpu: float  # s


def main() -> None:
    """The process: run what is ordered until there are no more orders."""
    send(sys.stdout.buffer, None)
    while True:
        try:
            order: Order = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        before = time.process_time()
        tally = drive(order.settings, order.schedule, lambda start=order.start: start)  # type: ignore[misc]
        send(sys.stdout.buffer, Sent(tally, time.process_time() - before))
