"""Groups of servers that a plan treats alike, so that a thousand servers become a few rows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from isocline.report.words import listed
from isocline.theory.scheduling.plan_records import NearDataPlan, ServerName, ServerPlan

# Digits to which loads must agree to count as equal.
_DIGITS = 9


class Group(NamedTuple):
    """Servers with the same role and load; rates are per server, tasks/s."""

    role: str
    servers: tuple[ServerName, ...]
    load: float
    utilisation: float  # load / alpha
    gives: float  # mean over the group
    receives: float


class GroupHelp(NamedTuple):
    """Total remote service between two groups, by their numbers, tasks/s."""

    helper: int
    beneficiary: int
    level: str
    rate: float


def groups(plan: NearDataPlan) -> list[Group]:
    """Groups in order of falling load: beneficiaries first."""
    members: dict[tuple[str, str], list[ServerPlan]] = defaultdict(list)
    for server in plan.servers:
        members[server.role, f"{server.load:.{_DIGITS}g}"].append(server)
    made = [
        Group(
            role,
            tuple(one.server for one in alike),
            alike[0].load,
            alike[0].utilisation,
            sum(one.gives for one in alike) / len(alike),
            sum(one.receives for one in alike) / len(alike),
        )
        for (role, _), alike in members.items()
    ]
    return sorted(made, key=lambda group: -group.load)


def helps_between(plan: NearDataPlan, made: Sequence[Group]) -> list[GroupHelp]:
    """Help between groups, largest rate first."""
    group_of = {server: i for i, group in enumerate(made) for server in group.servers}
    rates: dict[tuple[int, int, str], float] = defaultdict(float)
    for entry in plan.helps:
        rates[group_of[entry.helper], group_of[entry.beneficiary], entry.level] += entry.rate
    found = [GroupHelp(*key, rate) for key, rate in rates.items()]
    return sorted(found, key=lambda help_: -help_.rate)


def servers_in_words(names: Iterable[ServerName], most: int = 6) -> str:
    """Names separated by commas, with numbers as ranges: "0–499, 700"."""
    names = list(names)
    numbers = [name for name in names if isinstance(name, int)]
    if len(numbers) < len(names) or not numbers:
        return listed(map(str, names), most)
    numbers.sort()
    cuts = [i for i, (low, high) in enumerate(pairwise(numbers), 1) if high != low + 1]
    ends = pairwise([0, *cuts, len(numbers)])
    runs = [(numbers[low], numbers[high - 1]) for low, high in ends]
    parts = [f"{low}–{high}" if high > low else str(low) for low, high in runs]
    left = sum(high - low + 1 for low, high in runs[most:])
    return ", ".join(parts[:most]) + (f" and {left} more" if left else "")
