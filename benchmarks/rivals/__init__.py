"""Other simulators on one model: 100 M/M/1 FCFS stations, JSQ(3), load 0.9, from empty, one core.

Each module has `measure(jobs, seed)`. Each rival is written for speed in its own documented API:
no event log, no record per job unless it keeps one anyway, random numbers drawn in blocks where it
is Python that draws them, and the mean sojourn from the integral of the number of jobs by Little's
law, which costs the least. Seconds are of the processor, so that other work on the machine does not
count; compiling and setting up do not count either.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import final

SERVERS = 100
CHOICES = 3
LOAD = 0.9
ARRIVALS = LOAD * SERVERS  # jobs per mean service time

# name, module, function, jobs per run, how many times as fast we mean to be
RIVALS = (
    ("SimPy, callbacks", "in_simpy", "measure", 300_000, 100),
    ("cimba, event handlers", "in_cimba", "measure", 1_000_000, 16),
    ("cimba, processes", "in_cimba", "processes", 1_000_000, 16),
    ("LINE, LDES", "in_line", "measure", 1_000_000, 36),
    ("Ciw", "in_ciw", "measure", 40_000, 9_000),
)


class UnavailableError(Exception):
    """The rival is not installed or does not run here."""


@final
@dataclass(frozen=True)
class Measured:
    """One run of one simulator."""

    jobs: int
    seconds: float  # of the processor
    sojourn: float  # mean, in mean service times

    @property
    def speed(self) -> float:
        """Million jobs/s."""
        return self.jobs / self.seconds / 1e6


def compete(module: str, function: str, jobs: int, seed: int) -> Measured:
    """One run of a rival, in a process of its own.

    Raises:
        UnavailableError: It is not installed, or failed; with its last words.
    """
    command = [sys.executable, "-m", "benchmarks.rivals", module, function, str(jobs), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError("".join(done.stderr.strip().splitlines()[-1:]))
    return Measured(**json.loads(done.stdout))
