"""Arrays that policies give, in the shape and type that kernels read them in.

A kernel reads them without looking at their bounds, so that a wrong shape reads whatever is there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from isocline.errors import PolicyError
from isocline.policies.routing.contract import FloatArray, RoutingPolicy, Setting
from isocline.user_code import failures_of, is_own


def array_from(
    label: str,
    give: Callable[[], object],
    shape: Sequence[int | None],
    dimensions: str,
    dtype: type[np.generic] = np.float64,
) -> npt.NDArray[Any]:
    """Array given by a policy, made contiguous.

    Args:
        label: What it is called in messages: "policy mine: memory".
        give: Gives it.
        shape: Least entries in each dimension; None where any number will do.
        dimensions: The shape in words: "(E, M), E = 3 edges".
        dtype: What it must be, or fit in without loss.

    Raises:
        PolicyError: It raises, or gives something of another shape or type, or entries that are
            no numbers.
    """
    with failures_of(label, PolicyError):
        given = np.asarray(give())
    wanted = f"it must give an array of {np.dtype(dtype).name}, {dimensions}"
    if given.dtype.kind not in "biuf" or (
        np.issubdtype(dtype, np.integer) and given.dtype.kind == "f"
    ):
        raise PolicyError(f"{label} gives {given.dtype.name}; {wanted}")
    fits = len(shape) == given.ndim and all(
        least is None or have >= least for have, least in zip(given.shape, shape, strict=True)
    )
    if not fits:
        raise PolicyError(f"{label} has shape {given.shape}; {wanted}")
    if given.dtype.kind == "f" and np.isnan(given).any():
        at = ", ".join(map(str, np.argwhere(np.isnan(given))[0].tolist()))
        raise PolicyError(f"{label}: entry [{at}] is nan; give a number")
    return np.ascontiguousarray(given, dtype=dtype)


def table_of(policy: RoutingPolicy, setting: Setting, workloads: FloatArray) -> FloatArray:
    """(R or more, K or more) the scores of a policy; raises PolicyError if it gives others."""
    rows, columns = len(setting.curves), workloads.size
    return array_from(
        f"policy {policy.name}: table",
        lambda: policy.table(setting, workloads),
        (rows, columns),
        f"one row for each of {rows} distinct curves, one column for each of {columns} workloads",
    )


def rewrite_rows(
    table: FloatArray,
    policy: RoutingPolicy,
    setting: Setting,
    rows: Sequence[int],
    workloads: FloatArray,
) -> bool:
    """Write the entries of a table that follow from some curves.

    Args:
        table: (n, K) a policy's, written.
        policy: The policy.
        setting: With all curves.
        rows: Numbers of those curves.
        workloads: (K,) as the table was made for.

    Returns:
        Whether they could be: a policy's table may have to be made as a whole.

    Raises:
        PolicyError: As `table_of`.
    """
    curves = len(setting.curves)
    if table.shape != (policy.blocks * curves, workloads.size):
        return False
    few = replace(setting, curves=tuple(setting.curves[row] for row in rows))
    entries = table_of(policy, few, workloads)
    for block in range(policy.blocks):
        at = [block * curves + row for row in rows]
        table[at] = entries[block * len(rows) : (block + 1) * len(rows)]
    return True


def parameter_of(policy: RoutingPolicy, setting: Setting) -> FloatArray:
    """(E, P) the constants of a policy; raises PolicyError if it gives something else."""
    return array_from(
        f"policy {policy.name}: parameter",
        lambda: policy.parameter(setting),
        (setting.graph.edges, None),
        f"one row for each of {setting.graph.edges} edges",
    )


def memory_of(policy: RoutingPolicy, setting: Setting) -> FloatArray:
    """(E or more, M) what a policy remembers; raises PolicyError if it gives something else.

    Policies of this package may have fewer rows, as they know which they use.
    """
    found = array_from(
        f"policy {policy.name}: memory",
        lambda: policy.memory(setting),
        (setting.graph.edges if is_own(type(policy)) else None, None),
        f"one row for each of {setting.graph.edges} edges",
    )
    return found.copy()  # each run writes to its own


def option_of(policy: RoutingPolicy) -> FloatArray:
    """(O,) the options of a policy; raises PolicyError if it gives something else."""
    return array_from(f"policy {policy.name}: option", policy.option, (None,), "of one dimension")
