"""Ideal load decomposition (near-data paper, Section 3): helpers and beneficiaries.

Under the balanced load nu a server is overloaded if nu_n >= alpha: the set D of Lemma 2. No type
that is also local to a server outside D sends anything into D, as a level flow prefers the lower
load; so D and the loads are unique, whatever the order of types. Lemma 3: overloaded servers are
*beneficiaries*, which spend all their time on local tasks and receive remote service for the
nu_n - alpha that is left; all others are *helpers*, which serve what joins their own queue and can
give gamma (1 - nu_n/alpha) of remote service.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from isocline.model.cluster import Rates
from isocline.theory.scheduling.capacity_region import FlagArray, is_overloaded, require_rates

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
IntArray = npt.NDArray[np.int32]

# Pieces below this share of all remote service are rounding of two running sums.
_VISIBLE = 1e-12
_USED_UP = 1e-12  # of the rate; less time or excess than this is rounding


class Helps(NamedTuple):
    """Remote service: nu_{n,m} of the paper for n != m, where it is above 0."""

    helper: IndexArray  # (H,) the server m that serves
    beneficiary: IndexArray  # (H,) the server n at whose queue the tasks wait
    rate: FloatArray  # (H,) tasks/s


@final
@dataclass(frozen=True, eq=False)
class Decomposition:
    """Loads, helpers, beneficiaries and their help (Lemma 3)."""

    load: FloatArray  # (M,) tasks/s that join each queue: nu_n
    overloaded: FlagArray  # (M,) the set D: beneficiaries; the others are helpers
    excess: FloatArray  # (M,) nu_n - alpha of beneficiaries, tasks/s; 0 for helpers
    spare: FloatArray  # (M,) gamma (1 - nu_n/alpha) of helpers, tasks/s; 0 for beneficiaries
    helps: Helps

    @property
    def helpers(self) -> IndexArray:
        """Numbers of the helpers, rising."""
        return np.flatnonzero(~self.overloaded)

    @property
    def beneficiaries(self) -> IndexArray:
        """Numbers of the beneficiaries, rising."""
        return np.flatnonzero(self.overloaded)

    @property
    def slack(self) -> float:
        """Remote service that helpers could give beyond what is needed, tasks/s; below 0: unstable.

        Where there are beneficiaries this is the epsilon of Eq. (10).
        """
        return math.fsum((*self.spare, *-self.excess))


def decompose_load(load: FloatArray, local: float, remote: float) -> Decomposition:
    """The ideal load decomposition, from the balanced load.

    Outside the capacity region helpers give all they have, and each beneficiary gets the same share
    of what it needs.

    Args:
        load: (M,) balanced load nu, tasks/s.
        local: alpha, tasks/s.
        remote: gamma < alpha, tasks/s.

    Raises:
        UsageError: Not 0 < remote < local.
    """
    require_rates(local, remote)
    overloaded = is_overloaded(load, local)
    excess = np.where(overloaded, np.maximum(load - local, 0.0), 0.0)
    spare = np.where(overloaded, 0.0, remote * (1.0 - load / local))
    return Decomposition(load, overloaded, excess, spare, share_out(spare, excess))


def share_out(offered: FloatArray, wanted: FloatArray) -> Helps:
    """Spread the help: each helper gives, and each beneficiary gets, one share of its number.

    Many assignments are valid. This one puts what is given and what is wanted end to end on two
    lines of equal length and pairs what lies side by side, so that it has fewer entries than there
    are servers.

    Args:
        offered: (M,) what each server could give, tasks/s.
        wanted: (M,) what each server could take, tasks/s.
    """
    helpers, beneficiaries = np.flatnonzero(offered > 0.0), np.flatnonzero(wanted > 0.0)
    if not helpers.size or not beneficiaries.size:
        none = np.empty(0, np.int64)
        return Helps(none, none, np.empty(0))
    given, taken = np.cumsum(offered[helpers]), np.cumsum(wanted[beneficiaries])
    total = min(given[-1], taken[-1])
    # Shares, so that both lines end at 1 exactly: rates, rounded each by itself, would not.
    given, taken = given / given[-1], taken / taken[-1]
    ends = np.unique(np.concatenate((given, taken)))
    share = np.diff(ends, prepend=0.0)
    middle = ends - 0.5 * share
    seen = share > _VISIBLE
    return Helps(
        helpers[np.searchsorted(given, middle[seen])],
        beneficiaries[np.searchsorted(taken, middle[seen])],
        share[seen] * total,
    )


def rack_helps(ideal: Decomposition, rack: IntArray, speed: Rates) -> tuple[Helps, Helps]:
    """Remote service within racks first, then between them, on top of the ideal loads.

    Helpers work at beta for beneficiaries of their own rack as far as both last, and spend the time
    that is left at gamma on the excess that is left. It is how an algorithm that serves near tasks
    first would share the ideal loads; where the load is nearly too much, other local loads than
    the ideal ones may make more of the racks (`rack_capacity`).

    Args:
        ideal: The decomposition, which does not depend on the rates of help.
        rack: (M,) the rack of each server.
        speed: alpha, beta and gamma, tasks/s.
    """
    beta = speed.levels[1]
    time, excess = ideal.spare / speed.remote, ideal.excess.copy()
    within = []
    for number in np.unique(rack):
        here = rack == number
        helps = share_out(np.where(here, beta * time, 0.0), np.where(here, excess, 0.0))
        np.subtract.at(time, helps.helper, helps.rate / beta)
        np.subtract.at(excess, helps.beneficiary, helps.rate)
        within.append(helps)
    near = Helps(*(np.concatenate(parts) for parts in zip(*within, strict=True)))
    # What rounding leaves of time or excess that was used up is none.
    time[time < _USED_UP] = 0.0
    excess[excess < _USED_UP * speed.local] = 0.0
    return near, share_out(speed.remote * time, excess)
