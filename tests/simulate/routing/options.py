"""Types of keyword options of `simulate`, for tests that give several calls the same ones."""

from typing import TypedDict

from isocline.simulate.common.run_settings import Clock
from isocline.simulate.routing.prepare import Discipline


class RunLength(TypedDict, total=False):
    """Length of a comparison, and whether every job is timed; times in seconds."""

    horizon: float
    warmup: float
    replications: int
    seed: int
    percentiles: bool


class SimulateOptions(RunLength, total=False):
    """`RunLength`, and the options of the model that tests vary."""

    clock: Clock
    slot: float
    scale: float
    discipline: Discipline
