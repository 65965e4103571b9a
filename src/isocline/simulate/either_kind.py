"""Type of `isocline.simulate`: each kind of system has its own options and result.

For type checkers; when the package runs, `isocline.simulate` is called through its module.
"""

from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar, overload

from isocline.simulate.routing.compare import simulate as simulate_routing
from isocline.simulate.scheduling.compare import simulate_cluster

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


class EitherKind(Generic[P, R, Q, S]):
    """Two functions under one name, chosen by the first argument."""

    def __init__(self, routing: Callable[P, R], near_data: Callable[Q, S]): ...

    @overload
    def __call__(self, *args: P.args, **options: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Q.args, **options: Q.kwargs) -> S: ...
    def __call__(self, *args: object, **options: object) -> object: ...


simulate = EitherKind(simulate_routing, simulate_cluster)
