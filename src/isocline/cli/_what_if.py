"""`--add`, `--remove` and `--rate`: a system before and after a change; `--write` keeps it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli._options import ROUTING, Decorator, group, refusal

if TYPE_CHECKING:
    from isocline.model.changes import Changes
    from isocline.model.cluster import Cluster
    from isocline.model.fleet import RoutingSystem
    from isocline.theory.routing.plan_records import Plan

_KEYS = ("add", "remove", "rates")
_add = group("What if")


def what_if_options(
    excludes: tuple[str, ...] = (), of_rates: tuple[str, ...] = ()
) -> Decorator[Any]:
    """The three options, each any number of times, as the arguments `add`, `remove`, `rates`.

    `--write FILE` comes with them, as the argument `write`.

    Args:
        excludes: Options with which none of them goes.
        of_rates: Options with which `--rate` does not go besides.
    """
    added = _add(
        "--add",
        "add",
        multiple=True,
        metavar="NAME=N",
        help="Show before and after: N more of this backend, or of this kind (h100 for h100-1, "
        "h100-2), for the same frontends; NAME=N@F,... for these alone. Near-data: servers=N, "
        "RACK=N without data, or SERVER=N with the same data.",
        excludes=excludes,
    )
    removed = _add(
        "--remove",
        "remove",
        multiple=True,
        metavar="NAME=N",
        help="Show before and after: N fewer of it (1), likewise; or without this frontend.",
        excludes=excludes,
    )
    rated = _add(
        "--rate",
        "rates",
        multiple=True,
        metavar="NAME=RATE",
        help="Show before and after: this frontend at RATE jobs/s, or with x1.5 at 1.5 times its "
        "rate; NAME may be a pattern, and x1.5 alone is for all.",
        excludes=(*excludes, *of_rates),
    )
    kept = _add(
        "--write",
        "write",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write the changed system as a system file, without the comments of the first.",
        kind=ROUTING,
    )

    def decorated(function: Any) -> Any:
        return added(removed(rated(kept(function))))

    return decorated


def taken(given: Mapping[str, Any]) -> tuple[dict[str, Sequence[str]], dict[str, Any]]:
    """Part the three from the other arguments of a verb; {} of them if none is given.

    Raises:
        UsageError: `--write` without one of them.
    """
    ours = {key: given[key] for key in _KEYS if given[key]}
    if given.get("write") is not None and not ours:
        raise refusal("--write", "without a change", "add --add, --remove or --rate")
    return ours, {key: value for key, value in given.items() if key not in (*_KEYS, "write")}


def changed(
    system: "RoutingSystem | Cluster", written: Mapping[str, Sequence[str]]
) -> "tuple[Changes, Any]":
    """Return the changes, and the system after them; raises UsageError as `isocline.changed`."""
    from isocline.model.changes import changed, changes_in
    from isocline.model.changes.fleet import changes_of
    from isocline.model.fleet import RoutingSystem

    changes, after = changes_in(**written), changed(system, **written)
    if isinstance(system, RoutingSystem):
        changes = changes_of(system, changes)
    return changes, after


def write_changed(file: Path, before: "RoutingSystem", after: "RoutingSystem", to: Path) -> None:
    """Write the system file of a changed system, and say so.

    Args:
        file: That of the system before.
        before: The system before.
        after: The system after.
        to: What to write; paths in it are then relative to its directory.

    Raises:
        UsageError: The file cannot be read again or written, or the change has no form in it.
    """
    from isocline.cli._output import list_written
    from isocline.errors import UsageError
    from isocline.model.changes.system_file import changed_file
    from isocline.model.systemfile.document import STDIN, read
    from isocline.replaced_file import replace_text

    if file == STDIN:
        raise UsageError("--write: FILE is stdin, which cannot be read again; give a file")
    text = changed_file(read(file), before, after)
    try:
        replace_text(to, text)
    except OSError as error:
        raise UsageError(
            f"--write {to}: cannot be written ({error.strerror}); give another path"
        ) from error
    list_written([to])


def frontends(before: "Plan", after: "Plan") -> list[dict[str, Any]]:
    """The key `frontends` in the document of two plans: rates and latencies of each, s."""
    from isocline.report.tables.plan import prices

    sides = [{price.frontend: price for price in prices(plan)} for plan in (before, after)]
    return [
        {"frontend": name}
        | {
            side: None
            if name not in found
            else {
                "rate": found[name].rate,
                "mean_latency": found[name].latency,
                "marginal_rate": found[name].marginal_rate,
                "tier": found[name].tier,
            }
            for side, found in zip(("before", "after"), sides, strict=True)
        }
        for name in dict.fromkeys([*sides[0], *sides[1]])
    ]
