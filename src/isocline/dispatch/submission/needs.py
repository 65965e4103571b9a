"""Resources that a task needs, such as {"gpu": 1}, checked."""

import math
from collections.abc import Mapping
from typing import Any

from isocline.arguments import is_number
from isocline.dispatch.core.resources import Need
from isocline.dispatch.user_code_guard import shown
from isocline.errors import UsageError


def need_of(resources: Mapping[str, float] | None, what: str = "resources") -> Need:
    """Return names and amounts, sorted and without zeros.

    Raises:
        UsageError: They are no mapping from names to finite numbers, 0 or more.
    """
    if resources is None:
        return ()
    if not isinstance(resources, Mapping):
        raise UsageError(f"{what}: {shown(resources)}; give amounts by name, such as {{'gpu': 1}}")
    for name, amount in resources.items():
        if not isinstance(name, str) or not name or not _is_amount(amount):
            raise UsageError(
                f"{what}: {shown(name)}: {shown(amount)}; give a name, and a number of 0 or more"
            )
    return tuple(sorted((name, float(amount)) for name, amount in resources.items() if amount))


def as_text(need: Need) -> str:
    """Format resources for messages."""
    return ", ".join(f"{name} {amount:g}" for name, amount in need) or "none"


def _is_amount(amount: Any) -> bool:
    return is_number(amount) and 0 <= amount < math.inf
