"""Type, signature and help of `isocline.simulate`: each kind of system has its own options.

The type is for type checkers; when the package runs, `isocline.simulate` is called through its
module.
"""

import inspect
import re
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, Generic, ParamSpec, TypeVar, final, overload

from isocline.model.cluster import Cluster
from isocline.model.fleet import RoutingSystem
from isocline.simulate.routing.compare import simulate as simulate_routing
from isocline.simulate.scheduling.compare import simulate_cluster

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


@final
class EitherKind(Generic[P, R, Q, S]):
    """Two functions under one name, chosen by the first argument."""

    def __init__(self, routing: Callable[P, R], near_data: Callable[Q, S]): ...

    @overload
    def __call__(self, *args: P.args, **options: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Q.args, **options: Q.kwargs) -> S: ...
    def __call__(self, *args: object, **options: object) -> object: ...


simulate = EitherKind(simulate_routing, simulate_cluster)


def signature() -> Signature:
    """The parameters of both functions; those of one kind alone are refused of the other."""
    routing, cluster = inspect.signature(simulate_routing), inspect.signature(simulate_cluster)
    ours = dict(routing.parameters)
    system = ours.pop("system").replace(annotation=RoutingSystem | Cluster)
    policies = ours.pop("policies").replace(annotation=Parameter.empty, default=...)
    other = {name: one for name, one in cluster.parameters.items() if one.kind is one.KEYWORD_ONLY}
    return Signature(
        [system, policies, *(other | ours).values()],
        return_annotation=routing.return_annotation | cluster.return_annotation,
    )


def text() -> str:
    """What `help(isocline.simulate)` prints: both signatures, and what the parameters mean."""
    routing = _with_signature("simulate", simulate_routing)
    near_data = _with_signature("simulate", simulate_cluster)
    return (
        "Simulate policies on one system.\n\nA system of kind routing:\n\n"
        f"{routing}\n\nA cluster, which is of kind near-data:\n\n{near_data}"
    )


def _with_signature(name: str, function: Callable[..., Any]) -> str:
    """A function's signature, with a line for each parameter, above its docstring."""
    return f"{_signature_text(name, function)}\n\n{inspect.getdoc(function)}"


def _signature_text(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    lines = [f"{name}("]
    positional = True
    for parameter in signature.parameters.values():
        if positional and parameter.kind is parameter.KEYWORD_ONLY:
            positional = False
            lines.append("    *,")
        lines.append(f"    {_in_words(parameter)},")
    returned = inspect.formatannotation(signature.return_annotation)
    return "\n".join([*lines, f") -> {_without_modules(returned)}"])


def _in_words(parameter: inspect.Parameter) -> str:
    default, kind = parameter.default, parameter.annotation
    words = kind if isinstance(kind, str) else _without_modules(inspect.formatannotation(kind))
    text = f"{parameter.name}: {words}"
    if default is parameter.empty:
        return text
    return f"{text} = {default.__name__ if inspect.isroutine(default) else repr(default)}"


def _without_modules(text: str) -> str:
    """Annotations with the last part of each dotted name alone."""
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)
