"""Errors that a user can cause, as one tree: `except IsoclineError` catches them all.

A message names the place (file, line, field or argument), shows the value and says what to do.
"""

from collections.abc import Sequence
from typing import Self


class IsoclineError(Exception):
    """Root of every error that a user's input can cause.

    Attributes:
        field: From the value that was given to the part of it that is wrong, as ("points", 3);
            empty where the whole is meant. Whoever knows where the value stands in a file names
            the line of that part. An entry of a list may go by its name.
    """

    field: tuple[str | int, ...] = ()

    def within(self, *field: str | int) -> Self:
        """The same error, of a value of which the value that it was of is this part."""
        self.field = (*field, *self.field)
        return self


class CurveError(IsoclineError, ValueError):
    """A service curve breaks Assumption 1 of the GMSR paper, or its parameters make no sense."""


class SystemFileError(IsoclineError, ValueError):
    """A system file cannot be used; the message names file, line, field, value and remedy."""


class GraphError(IsoclineError, ValueError):
    """A compatibility graph is malformed: unknown ends, repeated edges, a source without a sink."""


class TraceError(IsoclineError, ValueError):
    """A trace file cannot be used; the message names the file and the row."""


class PolicyError(IsoclineError, ValueError):
    """A policy is unknown, has a wrong option, or chose a backend its frontend may not use."""


class UsageError(IsoclineError, ValueError):
    """Arguments that contradict each other or lie out of range."""


class RunTooShortError(UsageError):
    """A simulation is too short for the figure asked of it; the message says how long would do."""


class OverBudgetError(UsageError):
    """A simulation would take more events than its budget allows."""


class MeasureError(IsoclineError):
    """A server cannot be measured: it answers nothing, or too slowly for the time given."""


class MissingExtraError(IsoclineError, ImportError):
    """An optional dependency is not installed; the message gives the install line."""


class NumericalError(IsoclineError, ArithmeticError):
    """A solver's result failed its own certificate: a defect of ours, never reported as a plan."""


class UnreachableError(IsoclineError):
    """No fleet of the given machine types holds the target.

    Attributes:
        least: The least figure that is reached, s or a share; inf where the arrivals cannot be
            served, None where it is not known.
    """

    def __init__(self, message: str, least: float | None = None) -> None:
        self.least = least
        super().__init__(message)


class InfeasibleError(IsoclineError):
    """The load exceeds what the backends can serve.

    Attributes:
        frontends: Names of a set of frontends that together bring too much: the proof.
        backends: Names of all the backends connected to them.
        supply: What those frontends bring, in jobs/s.
        capacity: What those backends can serve, in jobs/s; supply >= capacity.
    """

    def __init__(
        self, frontends: Sequence[str], backends: Sequence[str], supply: float, capacity: float
    ) -> None:
        self.frontends = tuple(frontends)
        self.backends = tuple(backends)
        self.supply = supply
        self.capacity = capacity
        super().__init__(
            f"infeasible: frontends {{{', '.join(frontends)}}} bring {supply:.6g} jobs/s; "
            f"their backends {{{', '.join(backends)}}} can serve less than {capacity:.6g}"
        )
