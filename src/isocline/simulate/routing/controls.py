"""Control variates of a routing run: statistics of a replication whose steady-state mean is known.

For every function g of the number of jobs N in a steady state, R being the total service rate and
lambda that of Poisson arrivals,

    E[R g(N)] = lambda E[g(N + 1)],

whatever the policy: what crosses a level upwards crosses it downwards. In other words, the
generator of the chain has mean 0 on functions of N (S. Henderson and P. Glynn, Approximating
martingales for variance reduction in Markov process simulation, Mathematics of Operations Research
27(2), 2002). A weighted sum of g = 1 and g(N) = N takes out of a mean all noise of arrivals and
departures that weighs as a linear function of N. That is all that there is in an M/M/1 queue; what
is left elsewhere is that the same N jobs are spread better or worse. Of R N and N a sample
does: what it adds is small beside what a run remembers.

Where every job is timed the number of arrivals must be a control, as a mean over jobs depends on
how many they are, and three cost ten replications too much: so R N is only of means without it.

Tried and left out, as they took nothing more out of JSQ(3) on 100 servers or GMSR with secants on a
mixed fleet: the number of arrivals, and of jobs that these find. g(N) = N^2 does from load 0.99 on.
"""

import numpy as np
import numpy.typing as npt

from isocline.simulate.common.measured import Measured
from isocline.simulate.routing.replicate import Replication

FloatArray = npt.NDArray[np.float64]


def has_product(part: Measured[Replication]) -> bool:
    """Whether the engine takes samples of R N."""
    return bool(part.total("job_rate").any())


def controls(part: Measured[Replication], rate: float) -> FloatArray:
    """(R, 2) deviations from exact means at the total arrival `rate`, jobs/s.

    Of R, jobs/s, and of R N, jobs^2/s; where an engine does not sample the latter, of the arrivals,
    jobs/s, and of R.
    """
    served = np.array([rep.rate[part.skip :].mean() for rep in part.reps])
    if not has_product(part):
        return np.asarray(np.column_stack((part.arrived, served)) - rate)
    upwards = rate * (part.total("sampled") + part.total("samples"))
    product = (part.total("job_rate") - upwards) / part.total("samples")
    return np.column_stack((served - rate, product))
