"""Rules and arrays of a scheduling policy, checked where the policy is a user's own."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import Declared, value_as
from isocline.errors import PolicyError
from isocline.policies.arrays import array_from
from isocline.policies.own_code import Function, Wanted, as_written, require_function
from isocline.policies.scheduling.contract import (
    CALL,
    CHANGED,
    DUE,
    PICK,
    ROUTE,
    ClusterSetting,
    FloatArray,
    IntArray,
    Rules,
    SchedulingPolicy,
)
from isocline.policies.scheduling.state.transitions import REASONS
from isocline.user_code import failures_of, is_own, place

_WANTED = Rules(
    Wanted(
        "route", "route(local, view, now, rng) -> queue", "a queue", ROUTE, 4, "value_as(ROUTE)"
    ),
    Wanted(
        "call",
        "call(local, queue, view, now, rng) -> server",
        "a server",
        CALL,
        5,
        "value_as(CALL)",
    ),
    Wanted("pick", "pick(server, view, now, rng) -> queue", "a queue", PICK, 4, "value_as(PICK)"),
    Wanted("due", "due(view, now) -> time", "a time", DUE, 2, "value_as(DUE)"),
    Wanted("changed", "changed(queue, view)", "nothing", CHANGED, 2, "value_as(CHANGED)"),
)


def rules_of(policy: SchedulingPolicy, setting: ClusterSetting) -> Rules:
    """The compiled functions of a policy.

    Raises:
        PolicyError: `rules` raises, or gives something else; or a function of a user's is not
            compiled, or has other parameters.
    """
    with failures_of(f"policy {policy.name}: rules", PolicyError):
        rules = policy.rules(setting)
    if not isinstance(rules, Rules):
        raise PolicyError(
            f"policy {policy.name}: rules gives {type(rules).__name__}; it must give "
            "isocline.policies.scheduling.contract.Rules(route, call, pick, due, changed)"
        )
    return Rules(*(_checked(policy.name, *pair) for pair in zip(rules, _WANTED, strict=True)))


def functions_of(rules: Rules) -> Iterator[Function]:
    """The compiled functions, and what they must be."""
    return map(Function, rules, _WANTED)


def misused(label: str, rules: Rules, status: int) -> PolicyError:
    """Error of a function that has answered what it may not; of a user's own it names the place."""
    reason = REASONS[status]
    where = [
        f" ({place(code.co_filename, code.co_firstlineno)})"
        for function in functions_of(rules)
        if reason.startswith(f"{function.wanted.name} ") and is_own(function.code)
        for code in (as_written(function.code).__code__,)
    ]
    return PolicyError(f"policy {label}{''.join(where)}: {reason}")


def _checked(label: str, function: Any, wanted: Wanted) -> Any:
    if not is_own(function):
        return function
    require_function(label, function, wanted)
    if isinstance(function, Declared) and function.signature == wanted.signature:
        return function
    return _declared(as_written(function), wanted.signature)


@functools.cache
def _declared(python: Any, signature: Any) -> Any:
    """A function that numba was given in another way, as kernels take it; one for each."""
    return value_as(signature)(python)


def option_of(policy: SchedulingPolicy, setting: ClusterSetting) -> FloatArray:
    """(O,) its options; raises PolicyError if it gives something else."""
    label = f"policy {policy.name}: option"
    return array_from(label, lambda: policy.option(setting), (None,), "of one dimension")


def memory_of(policy: SchedulingPolicy, setting: ClusterSetting) -> FloatArray:
    """Memory of a policy, a copy of its own; raises PolicyError if it gives something else."""
    label = f"policy {policy.name}: memory"
    return array_from(label, lambda: policy.memory(setting), (None,), "of one dimension").copy()


def winner_of(policy: SchedulingPolicy, setting: ClusterSetting) -> IntArray:
    """Its tournament, a copy of its own; raises PolicyError if it gives something else."""
    found = array_from(
        f"policy {policy.name}: winner",
        lambda: policy.winner(setting),
        (None,),
        "of one dimension",
        np.int32,
    )
    return found.copy()


def queues_of(policy: SchedulingPolicy, setting: ClusterSetting) -> int:
    """Q; raises PolicyError unless there is one for each server, and as many levels."""
    with failures_of(f"policy {policy.name}: queues", PolicyError):
        queues = policy.queues(setting)
    whole = isinstance(queues, int | np.integer) and not isinstance(queues, bool)
    if not whole or queues < setting.size:
        raise PolicyError(
            f"policy {policy.name}: queues gives {queues!r}; give a whole number, at least one "
            f"queue for each of {setting.size} servers"
        )
    return int(queues)


def queue_levels_of(policy: SchedulingPolicy, setting: ClusterSetting) -> npt.NDArray[np.int8]:
    """(Q,) the level of each queue's tasks; raises PolicyError if it gives something else."""
    queues = queues_of(policy, setting)
    return array_from(
        f"policy {policy.name}: queue_levels",
        lambda: policy.queue_levels(setting),
        (queues,),
        f"one entry for each of {queues} queues",
        np.int8,
    )
