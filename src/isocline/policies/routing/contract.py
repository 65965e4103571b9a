"""Contract of routing policies, for all callers: the simulator, and the live core.

A policy's compiled function

    choose(candidates, view, now, rng) -> edge

returns one of `candidates`, the edges of the frontend whose job it is, or HOLD: then the job waits
at its frontend and is offered again. Compatibility, health and limits are applied before, so no
policy can break them. It reads `view`, whose arrays the caller keeps up to date, and may write only
to `view.memory`. Time and randomness are arguments. A policy that learns from finished jobs has a
second function

    observe(edge, latency, now, view)

Both have fixed signatures and are passed to kernels as values. Compiled with
`isocline.compilation.compiled.value_as(CHOOSE)` a policy is inlined there; as a numba CFunc it is
called by address, by a kernel that is compiled once for all such policies.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
import numpy.typing as npt
from numba import types

from isocline.compilation.compiled import array_of, record_of, value_as
from isocline.errors import PolicyError
from isocline.model.curves import Curve
from isocline.model.graph import CompatibilityGraph

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


class View(NamedTuple):
    """View of a policy: E edges, B backends, R distinct curves, K workloads tabulated.

    Where every frontend has a picture of its own (`simulate.routing.kernels.delayed`), each edge is
    a backend to the policy, and B is E.
    """

    # (E,) int32, the backend at the end of each edge. Read-only.
    backend: IntArray
    # (B,) int32, jobs at each backend as the frontend knows them. Written by the simulator, engine
    # and kernel, or the live core.
    workload: IntArray
    # (B,) int32, the backend's row of `table`. Read-only.
    row: IntArray
    # (R or more, K or more) float64, the policy's score at each workload, in a unit of its own:
    # lower is better. Written by the caller between two decisions, when a curve changes or a
    # workload grows beyond K.
    table: FloatArray
    # (E, P) float64, constants of the policy, in units of its own. Written by the caller when a
    # curve changes.
    parameter: FloatArray
    # (E, M) float64, what the policy remembers, in units of its own; 0 at the start. Written by the
    # policy alone. Policies of this package may have fewer rows than E; a recorder of decisions
    # keeps them in further rows.
    memory: FloatArray
    # (O,) float64, the policy's options, each in a unit of its own. Read-only, but for the guard
    # around a user's own function, which notes there at which call that raised.
    option: FloatArray
    # Where jobs are alike the three below have no rows: (0, 2), (0,) and (0, 2).
    # (E, 2) float64, of the job at hand at the end of each edge: WORK, in the unit of the curves,
    # and UNCACHED, tokens of its prompt that are not cached there; or, where backends hold models,
    # LOAD, s that they would stand still to load its own. Written by the caller before each
    # decision.
    work: FloatArray = np.zeros((0, 2))
    # (3,) float64, of the job at hand: PROMPT, tokens; OUTPUT, tokens expected; PREFIX, a number
    # that jobs with the same beginning share; or, where backends hold models, MODEL, the number of
    # its own. Written by the caller before each decision.
    job: FloatArray = np.zeros(0)
    # (B, 2) float64, tokens at each backend as the frontend knows them: UNREAD, uncached tokens of
    # the prompts of the jobs there, and HELD, all tokens of these jobs. Written by the caller.
    tokens: FloatArray = np.zeros((0, 2))
    # (E,) float64, s, what a job counts as taking longer by an edge because its backend is far; no
    # rows where all are as near. Read-only.
    distance: FloatArray = np.zeros(0)


WORK, UNCACHED, LOAD = 0, 1, 1  # columns of `View.work`
PROMPT, OUTPUT, PREFIX, MODEL = 0, 1, 2, 2  # entries of `View.job`
UNREAD, HELD = 0, 1  # columns of `View.tokens`
VIEW = record_of(
    View,
    array_of(types.int32),
    array_of(types.int32),
    array_of(types.int32),
    array_of(types.float64, 2),
    array_of(types.float64, 2),
    array_of(types.float64, 2),
    array_of(types.float64),
    array_of(types.float64, 2),
    array_of(types.float64),
    array_of(types.float64, 2),
    array_of(types.float64),
)
HOLD = -1  # in place of an edge: not now. One that sees an empty backend must not hold for ever.
# candidates: (k,) int32, numbers of edges, at least one; read-only, and valid during the call only.
# now: s. rng: (2,) uint64, the policy's own stream, which each draw advances.
CHOOSE = types.int64(array_of(types.int32), VIEW, types.float64, array_of(types.uint64))
# edge, by which the job was sent; latency, s; now, s; view, of which only `memory` may be written.
OBSERVE = types.void(types.int64, types.float64, types.float64, VIEW)


@value_as(OBSERVE)
def observe_nothing(edge: int, latency: float, now: float, view: View) -> None:
    """For policies that learn nothing from finished jobs."""


@final
@dataclass(frozen=True, eq=False)
class Setting:
    """Facts known when a policy is set up."""

    graph: CompatibilityGraph
    curves: tuple[Curve, ...]  # (R,) the distinct curves, jobs/s
    row: IntArray  # (B,) int32, which of them each backend has
    # (E,) float64, jobs/s on each edge in the fluid optimum; or in words why there is none.
    split: FloatArray | str = "curves and arrival rates are not all known"
    lag: float = 0.0  # s, the longest from what a report says to the arrival of a job sent on it
    # (E,) float64, s, as `View.distance`; no entries where all backends are as near.
    distance: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def capacities(self) -> FloatArray:
        """(B,) float64, jobs/s."""
        return np.array([curve.supremum for curve in self.curves])[self.row]


class RoutingPolicy(ABC):
    """One policy with its options, which are the fields of the (frozen, data) class."""

    name: ClassVar[str]
    choose: ClassVar[Any]  # compiled for CHOOSE
    observe: ClassVar[Any] = observe_nothing  # compiled for OBSERVE
    needs_latency: ClassVar[bool] = False  # learns from `observe`
    may_hold: ClassVar[bool] = False  # may return HOLD; an engine that cannot hold jobs refuses it
    learns: ClassVar[bool] = False  # its table is made of learned curves, which an engine keeps
    # Whether `choose` reads `work`, `job` or `tokens` of its view, beyond what `picks.cost` does.
    reads_tokens: ClassVar[bool] = False
    # How many blocks of R rows its table has, one below the other, whose rows follow from one curve
    # each; 0 if the table is otherwise.
    blocks: ClassVar[int] = 1
    # Called by address by a kernel that all such policies share, in place of one of its own.
    shares_kernel: ClassVar[bool] = False

    @abstractmethod
    def table(self, setting: Setting, workloads: FloatArray) -> FloatArray:
        """(R, K) float64, score of each distinct curve at 0 .. K - 1 jobs; lower is better.

        A policy that reads the table by code of its own may have more rows below (`blocks`), and
        columns.
        """

    def parameter(self, setting: Setting) -> FloatArray:
        """(E, P) float64, constants per edge."""
        return np.zeros((setting.graph.edges, 0))

    def memory(self, setting: Setting) -> FloatArray:
        """(E, M) float64, zeros for the policy to write to."""
        return np.zeros((setting.graph.edges, 0))

    def option(self) -> FloatArray:
        """(O,) float64, options as numbers."""
        return np.zeros(0)

    def counts_in_caches(self) -> bool:
        """Whether decisions depend on what backends have cached, as far as its options tell."""
        option = self.option()
        return self.reads_tokens or bool(option.size > 1 and option[1] == 1.0)  # as in `picks`

    @property
    def sample(self) -> int:
        """How many candidates a decision draws, each once, to take the least by the table alone.

        Ties are broken at random. 0: another rule. The refined mean field has the means of such
        policies.
        """
        return 0

    def counts_distances(self) -> bool:
        """Whether decisions depend on distances, as far as its options tell."""
        option = self.option()
        return bool(option.size > 1 and option[1] == 1.0)  # as in `picks`

    def shares(self, setting: Setting) -> FloatArray | None:  # noqa: ARG002
        """(E,) float64, long-run share of its frontend's jobs on each edge, if none changes it.

        A policy that says so is known to be unstable before any simulation where a share
        overloads a backend.
        """
        return None

    def functions(self) -> tuple[Any, Any]:
        """The compiled `choose` and `observe`; taken from the class, where they do not bind."""
        return type(self).choose, type(self).observe

    def misplaced(self, view: View, rng: Any) -> PolicyError:  # noqa: ARG002
        """Error to raise after `choose` returned neither a candidate nor HOLD where it may.

        Args:
            view: What the policy saw; it may be changed.
            rng: Its stream of randomness; likewise.
        """
        return PolicyError(
            f"policy {self.name} returned an edge not in `candidates`; one that holds jobs says so "
            "with `may_hold = True`"
        )


def even_shares(graph: CompatibilityGraph) -> FloatArray:
    """(E,) float64, shares: every edge of a frontend alike."""
    return 1.0 / np.diff(graph.first)[graph.source]


def no_table(setting: Setting, workloads: FloatArray) -> FloatArray:
    """For policies that do not look at workloads."""
    return np.zeros((len(setting.curves), workloads.size))


def require_one_of(policy: str, option: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise PolicyError unless an option has one of its allowed values."""
    if value not in allowed:
        listed = ", ".join(str(one) for one in allowed)
        raise PolicyError(f"{policy}:{option}={value}: {option} is one of {listed}")
