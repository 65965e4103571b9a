"""Loads of models: the work that one adds to a request, and the price of dropping a resident one.

The rule by which backends come to hold models, for the simulator and the live core alike.

**Where to load.** A backend stands still while it loads, so a load of L seconds at a backend with N
jobs costs the work that it would have done meanwhile. A request of work 1 where its model is
resident has, where it is not,

    1 + L l(N + 1)

of work, and goes to the backend of least work x price, as any other. So a second copy is loaded
where waiting at those that hold the model costs more than the load, and no threshold is to be set.
Of like backends one with free memory is taken. A copy for which another model makes way has to be
worth it by the drain price as well, (N + 1) / l(N + 1): what a policy's price says of a crowd that
has drained by the next request is no reason to drop what is asked for all the time. Where all that
could make way is in use, a load displaces a model that comes back: that is `OUT_OF_TURN` loads, and
no option at all where another backend holds the model.

A request that comes while a backend stands still waits itself, and keeps no other waiting: s
seconds that are left of loads are a stay of s, and so s l(N + 1) / (N + 1) of work.

**What makes way.** The loss of a model is an estimate, s of delay per s: how often requests at the
backend asked for it since it was loaded, times what the next one would lose. That is the load, for
all jobs there; or, where another backend holds the model, the price there less the price here, if
that is less. The price is that of draining. Per unit of memory the least goes
first, and of those that cost alike, such as second copies, the one used least recently.
"""

import numpy as np

from isocline.compilation.compiled import inlinable

OUT_OF_TURN = 2.0  # loads
MAKES_WAY = 1.001  # loads, of one for which a model makes way: of like backends one with free room
# Mean requests, of a copy that is not worth what makes way: more than prices of backends differ by,
# and finite, as a policy that draws its candidates may meet no other.
NOT_WORTH_IT = 1e6
_ENOUGH = 1e-9  # of a model's size, that rounding may lack


@inlinable
def fits(room: float, size: float) -> bool:
    """Whether a model fits into so much memory, but for rounding."""
    return room >= size * (1.0 - _ENOUGH)


@inlinable
def loads_needed(resident: bool, room: float, size: float) -> float:
    """Loads that a request costs at a backend where its model is resident, or is not.

    Args:
        resident: Whether the backend holds the model.
        room: Memory that is free there, or taken by models that may make way.
        size: Memory that the model takes.
    """
    if resident:
        return 0.0
    return 1.0 if fits(room, size) else OUT_OF_TURN


@inlinable
def work_with_loads(
    loads: float,
    seconds: float,
    jobs: int,
    rate: float,
    elsewhere: float,
    makes_way: bool,
    still: float,
) -> float:
    """Work of a mean request at a backend, in mean requests; inf where it is not to go.

    Args:
        loads: As of `loads_needed`.
        seconds: A load takes so long.
        jobs: At the backend, with one more.
        rate: Its rate then, jobs/s.
        elsewhere: Least drain price at the backends that hold the model, of those that the request
            may go to, s; inf: none does.
        makes_way: Whether another model makes way for it.
        still: Time for which the backend stands still for loads before it, s.
    """
    work = loads * seconds * rate
    if work > 0.0 and elsewhere < np.inf:
        if loads >= OUT_OF_TURN:
            return np.inf
        if makes_way and (1.0 + work) * drain_price(jobs, rate) >= elsewhere:
            work += NOT_WORTH_IT
    if makes_way:
        work *= MAKES_WAY
    return 1.0 + work + still * rate / jobs


@inlinable
def drain_price(jobs: int, rate: float) -> float:
    """Price of draining one more job, s; `jobs` and `rate`, jobs/s, are those with it."""
    return jobs / rate


@inlinable
def loss(
    seconds: float, here: float, rate: float, elsewhere: float, uses: float, age: float
) -> float:
    """Cost of the loss of a resident model, s of delay per s.

    Args:
        seconds: A load takes so long.
        here: Drain price at its backend, s.
        rate: Rate with one more job there, jobs/s.
        elsewhere: Least drain price at the others that hold the model, s; inf: none does.
        uses: Requests that asked for it here since it was loaded.
        age: s since then.
    """
    extra = min(seconds * rate * here, max(elsewhere - here, 0.0))
    return extra * uses / age if age > 0.0 else np.inf
