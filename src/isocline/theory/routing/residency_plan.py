"""Plan of a system whose backends hold some models: usable capacity, and the copies that give it.

Requests of frontend f for model m come at rate r_fm. With copies x_bm in {0, 1} that fit into
memory, those for m can be served by the backends that hold it, at y_fmb; others cost loads
(`OUT_OF_TURN` of them, as memory is full of models in use), c_fmb, of work 1 + loads * l_b. The
*usable capacity* is the largest factor by which all rates could grow:

    least t  with   sum_b (y_fmb + c_fmb) = r_fm,   sum_fm (y_fmb + w_mb c_fmb) <= t l_b,
    y_fmb = 0 where x_bm = 0,

and its inverse. For given copies this is a linear program.

**The bound.** A backend that serves m while m is resident needs it there for a share of the time of
at least y / l_b at scale 1, and y over all that come for m there. So no policy, whatever it loads
and when, is stable at scale s unless there is a flow of t <= 1 / s with

    sum_m size_m (sum_f y_fmb) / min(l_b / s, sum_f r_fm) <= memory_b.

That is a linear program for each s, ever harder to meet as s grows, so the largest s is found by
bisection. Nothing is counted for loads that change what is resident.

**The copies.** An optimal vertex of the bound's program splits few models. Where its parts do not
fit whole, those that carry least for their size are left out; then copies are added, by what duals
promise, until the bound is met or none helps. Choosing the best copies is hard (a multiple
knapsack), so that there may be a gap, which is given.
"""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from isocline.errors import NumericalError
from isocline.model.fleet import RoutingSystem
from isocline.theory.routing.plan_records import ModelCopy, MoreMemory, ResidencyPlan

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]

OUT_OF_TURN = 2.0  # loads, as in `policies.routing.model_loads`
_CLOSE = 1e-4  # of the capacity: nearer the bound no copy is looked for
_STEPS = 40  # copies that are exchanged after those of the bound
_TRIED = 8  # exchanges of which the first that helps is taken
_BETTER = 1e-5  # of the capacity, that an exchange must bring
_ROUNDING = 1e-9
_UNIT = 1e-6  # of which sizes are taken to be multiples


def residency_plan(system: RoutingSystem) -> ResidencyPlan | None:
    """Plan copies of models; None if every backend holds them all.

    Raises:
        UsageError: The number of models is not known, or a frontend names one that there is not.
        NumericalError: A linear program is not solved.
    """
    if not system.has_residency:
        return None
    problem = _Problem.of(system)
    bound, guess = problem.bound()
    copies, best = problem.placement(guess, bound)
    return problem.result(copies, best, min(bound, 1e300))


@final
@dataclass(frozen=True, eq=False)
class _Flow:
    """Optimum of one of the two programs: its scale is 1 / t. D demands."""

    scale: float
    resident: FloatArray  # (V,) jobs/s of each variable whose model is resident
    level: FloatArray  # (D,) t per job/s more of each demand
    price: FloatArray  # (B,) t per unit of work/s more at each backend
    memory_price: FloatArray  # (B,) t saved per unit of memory more; 0 of given copies


@final
@dataclass(frozen=True, eq=False)
class _Problem:
    """V variables, each a demand at a backend: a frontend's requests for one model."""

    system: RoutingSystem
    rate: FloatArray  # (D,) jobs/s of each demand
    demand: IndexArray  # (V,)
    backend: IndexArray  # (V,)
    model: IndexArray  # (V,); -1: none
    cold: FloatArray  # (V,) work of a job whose model is not resident
    pinned: BoolArray  # (B, M)
    memory: FloatArray  # (B,) that is not pinned; inf where all models are held

    @classmethod
    def of(cls, system: RoutingSystem) -> "_Problem":
        catalogue, shares = system.catalogue, system.model_shares
        graph, capacity = system.graph, system.capacities
        rates: list[float] = []
        demand: list[int] = []
        backend: list[int] = []
        model: list[int] = []
        for f, row in enumerate(shares):
            wanted = np.flatnonzero(row).tolist() or [-1]
            for m in wanted:
                rate = float(system.rates[f]) * (float(row[m]) if m >= 0 else 1.0)
                if rate <= 0.0:
                    continue
                holders = graph.neighbours(f).tolist()
                demand += [len(rates)] * len(holders)
                backend += holders
                model += [m] * len(holders)
                rates.append(rate)
        pinned = np.zeros((len(system.backends), len(catalogue.models)), np.bool_)
        memory = np.full(len(system.backends), np.inf)
        for b, it in enumerate(system.backends):
            pinned[b, [catalogue.number[name] for name in it.resident]] = True
            if it.memory is None:
                pinned[b] = True
            else:
                memory[b] = _whole(it.memory - catalogue.sizes[pinned[b]].sum(), catalogue.sizes)
        of, at = np.array(model), np.array(backend)
        loads = np.where(of >= 0, catalogue.loads[of], 0.0)
        cold = 1.0 + OUT_OF_TURN * loads * capacity[at]
        return cls(system, np.array(rates), np.array(demand), at, of, cold, pinned, memory)

    @property
    def needs(self) -> BoolArray:
        """(V,) whether the variable takes a copy that is not there anyway."""
        held = self.pinned[self.backend, np.maximum(self.model, 0)]
        return np.asarray((self.model >= 0) & ~held)

    def solved(self, allowed: BoolArray, usage: FloatArray | None) -> _Flow:
        """The program with resident variables where `allowed`, (V,).

        Args:
            allowed: Where the model may be resident.
            usage: (V,) memory that a job/s takes; None: memory is no matter.
        """
        from scipy.optimize import linprog  # noqa: PLC0415 - slow to import, and seldom asked
        from scipy.sparse import csr_array  # noqa: PLC0415

        warm, cold = np.flatnonzero(allowed), np.flatnonzero(self.needs)
        every = np.concatenate((warm, cold))
        n, backends = every.size, len(self.system.backends)
        work = np.concatenate((np.ones(warm.size), self.cold[cold]))
        # Shares of demands, so that all numbers are near 1.
        rate = self.rate[self.demand[every]]
        load = work * rate / self.system.capacities[self.backend[every]]
        rows = np.concatenate((self.backend[every], np.arange(backends)))
        columns = np.concatenate((np.arange(n), np.full(backends, n)))
        values = np.concatenate((load, np.full(backends, -1.0)))
        limit = np.zeros(backends)
        bounded = np.flatnonzero(np.isfinite(self.memory))
        if usage is not None:
            taking = np.flatnonzero(self.needs[warm])
            place = np.full(backends, -1)
            place[bounded] = np.arange(bounded.size)
            room = np.maximum(self.memory[bounded], 1e-12)
            at = self.backend[warm[taking]]
            taken = usage[warm[taking]] * rate[taking] / room[place[at]]
            rows = np.concatenate((rows, backends + place[at]))
            columns = np.concatenate((columns, taking))
            values = np.concatenate((values, taken))
            limit = np.concatenate((limit, np.ones(bounded.size)))
        above: Any = csr_array((values, (rows, columns)), shape=(limit.size, n + 1))
        sums: Any = csr_array(
            (np.ones(n), (self.demand[every], np.arange(n))), shape=(self.rate.size, n + 1)
        )
        goal = np.append(np.zeros(n), 1.0)
        found = linprog(goal, above, limit, sums, np.ones(self.rate.size), method="highs-ds")
        if found.x is None:
            raise NumericalError(f"models: {found.message}; please report it")
        resident = np.zeros(self.demand.size)
        resident[warm] = found.x[: warm.size] * rate[: warm.size]
        duals = np.asarray(found.ineqlin.marginals)
        memory_price = np.zeros(backends)
        if usage is not None:
            memory_price[bounded] = -duals[backends:] / np.maximum(self.memory[bounded], 1e-12)
        return _Flow(
            1.0 / max(float(found.x[-1]), 1e-300),
            resident,
            np.asarray(found.eqlin.marginals) / self.rate,
            -duals[:backends] / self.system.capacities,
            memory_price,
        )

    def relaxed(self, scale: float) -> _Flow:
        """The bound's program at a scale."""
        sizes = self.system.catalogue.sizes
        of = np.maximum(self.model, 0)
        # All that may come for the model at the backend.
        coming = np.zeros(self.pinned.shape)
        some = self.model >= 0
        np.add.at(coming, (self.backend[some], of[some]), self.rate[self.demand[some]])
        capacity = self.system.capacities[self.backend]
        most = np.minimum(capacity / scale, coming[self.backend, of])
        usage = np.where(self.needs, sizes[of] / np.where(most > 0.0, most, 1.0), 0.0)
        fits = ~self.needs | (sizes[of] <= self.memory[self.backend] * (1.0 + _ROUNDING))
        return self.solved(fits, usage)

    def bound(self) -> tuple[float, _Flow]:
        """The scale that no policy exceeds, and the flow there, or just below."""
        found = self.relaxed(1e-9)
        high = found.scale  # nothing is ever less bound than at scale 0
        at_high = self.relaxed(high)
        if at_high.scale >= high * (1.0 - _CLOSE):
            return high, at_high
        low, flow = 0.0, found
        while high - low > _CLOSE * high:
            middle = 0.5 * (low + high) if low > 0.0 else 0.5 * high
            at_middle = self.relaxed(middle)
            if at_middle.scale >= middle:
                low, flow = middle, at_middle
            else:
                high = middle
        return high, flow

    def placement(self, guess: _Flow, bound: float) -> tuple[BoolArray, _Flow]:
        """(B, M) copies, pinned ones among them, and the best flow with them."""
        copies = self._filled(self._fitting(guess))
        best = self._with(copies)
        for _ in range(_STEPS):
            if best.scale >= bound * (1.0 - _CLOSE):
                break
            better = self._better(copies, best)
            if better is None:
                break
            copies, best = better
        return copies, best

    def _with(self, copies: BoolArray) -> _Flow:
        held = (self.model < 0) | copies[self.backend, np.maximum(self.model, 0)]
        return self.solved(held, None)

    def _by_copy(self, values: FloatArray) -> FloatArray:
        """(B, M) sums of (V,) values."""
        found = np.zeros(self.pinned.shape)
        some = self.model >= 0
        np.add.at(found, (self.backend[some], self.model[some]), values[some])
        return found

    def _fitting(self, flow: _Flow) -> BoolArray:
        """(B, M) copies of a flow that fit, those that carry most for their size first."""
        carried, sizes = self._by_copy(flow.resident), self.system.catalogue.sizes
        copies, left = self.pinned.copy(), self.memory.copy()
        for at in np.argsort(-(carried / sizes), axis=None, kind="stable").tolist():
            b, m = divmod(at, sizes.size)
            if carried[b, m] <= _ROUNDING * carried.max():
                break
            if not copies[b, m] and sizes[m] <= left[b] * (1.0 + _ROUNDING):
                copies[b, m] = True
                left[b] -= sizes[m]
        return copies

    def _left(self, copies: BoolArray) -> FloatArray:
        """(B,) memory that copies leave."""
        own = np.where(copies & ~self.pinned, self.system.catalogue.sizes, 0.0)
        return np.asarray(self.memory - own.sum(axis=1))

    def _filled(self, copies: BoolArray) -> BoolArray:
        """Copies of models that have none, largest first, where most memory is left."""
        copies, sizes = copies.copy(), self.system.catalogue.sizes
        usable = self._by_copy(np.ones(self.demand.size)) > 0.0
        missing = np.flatnonzero(usable.any(axis=0) & ~copies.any(axis=0))
        for m in missing[np.argsort(-sizes[missing], kind="stable")].tolist():
            left = np.where(usable[:, m], self._left(copies), -np.inf)
            b = int(np.argmax(left))
            if sizes[m] <= left[b] * (1.0 + _ROUNDING):
                copies[b, m] = True
        return copies

    def _promise(self, flow: _Flow) -> FloatArray:
        """(B, M) t that one more copy saves, at most, by duals."""
        saved = flow.level[self.demand] - flow.price[self.backend]
        return self._by_copy(self.rate[self.demand] * np.maximum(saved, 0.0))

    def _better(self, copies: BoolArray, flow: _Flow) -> tuple[BoolArray, _Flow] | None:
        """Copies with one more, in place of those that carry least; None if none of some helps.

        Tried are those that promise most, less what is carried by those that make way.
        """
        sizes = self.system.catalogue.sizes
        promise = self._promise(flow)
        # What copies carry costs, if nobody else takes it, its level; of the last one, loads.
        costs = self._by_copy(flow.resident * flow.level[self.demand])
        costs = costs * np.where(copies.sum(axis=0) > 1, 1.0, self._loads)
        found: list[tuple[float, int, int, list[int]]] = []
        for b, m in zip(*np.nonzero(~copies & (promise > _ROUNDING)), strict=True):
            given_up = self._made_room(copies, costs[b], int(b), float(sizes[m]))
            if given_up is not None:
                net = float(promise[b, m] - costs[b, given_up].sum())
                found.append((-net, int(b), int(m), given_up))
        for _, b, m, given_up in sorted(found)[:_TRIED]:
            then = copies.copy()
            then[b, given_up] = False
            then[b, m] = True
            after = self._with(then)
            if after.scale > flow.scale * (1.0 + _BETTER):
                return then, after
        return None

    def _made_room(
        self, copies: BoolArray, costs: FloatArray, b: int, size: float
    ) -> list[int] | None:
        """Models that make way at a backend for one of a size; None if that is not enough."""
        sizes = self.system.catalogue.sizes
        own = np.flatnonzero(copies[b] & ~self.pinned[b])
        left = float(self.memory[b] - sizes[own].sum())
        given_up: list[int] = []
        for m in own[np.argsort(costs[own], kind="stable")].tolist():
            if left >= size * (1.0 - _ROUNDING):
                break
            given_up.append(m)
            left += float(sizes[m])
        return given_up if left >= size * (1.0 - _ROUNDING) else None

    @property
    def _loads(self) -> FloatArray:
        """(M,) work of a job for each model where it is least, if no backend holds it."""
        least = np.full(self.pinned.shape[1], np.inf)
        some = self.model >= 0
        np.minimum.at(least, self.model[some], self.cold[some])
        return least

    def result(self, copies: BoolArray, flow: _Flow, bound: float) -> ResidencyPlan:
        """The record."""
        models, backends = self.system.catalogue.models, self.system.backends
        carried = self._by_copy(flow.resident)
        cold = self.rate.sum() - flow.resident.sum()
        used = carried > _ROUNDING * max(carried.max(), 1e-300)
        # Those that carry nothing may be left out, but for the last one of a model.
        last = copies & ~(copies & used).any(axis=0)
        own = used | last & np.isfinite(self.memory)[:, None]
        listed = sorted(zip(*np.nonzero(own), strict=True), key=lambda at: -carried[at])
        prices = self.relaxed(bound).memory_price
        return ResidencyPlan(
            capacity_scale=flow.scale,
            bound=max(bound, flow.scale),
            cold=max(float(cold / self.rate.sum()), 0.0),
            copies=tuple(
                ModelCopy(
                    models[m].name,
                    backends[b].name,
                    float(carried[b, m]),
                    int(own[:, m].sum()),
                )
                for b, m in listed
            ),
            memory=tuple(
                MoreMemory(backends[b].name, float(prices[b] * bound))
                for b in np.argsort(-prices, kind="stable").tolist()
                if prices[b] * bound > _ROUNDING
            ),
        )


def _whole(memory: float, sizes: FloatArray) -> float:
    """Memory that whole models can fill: a multiple of what divides all their sizes."""
    units = [round(size / _UNIT) for size in sizes.tolist()]
    unit = math.gcd(*units) * _UNIT
    if min(units) == 0 or unit == 0.0:
        return memory
    return max(math.floor(memory / unit * (1.0 + _ROUNDING)), 0) * unit
