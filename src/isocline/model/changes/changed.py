"""`isocline.changed`: a system with machines added or removed, and other arrival rates."""

from typing import overload

from isocline.arguments import checked
from isocline.errors import UsageError
from isocline.model.changes.cluster import changed_cluster
from isocline.model.changes.fleet import changed_fleet
from isocline.model.changes.written import Written, WrittenRates, changes_in
from isocline.model.cluster import Cluster
from isocline.model.fleet import RoutingSystem


@overload
def changed(
    system: RoutingSystem, *, add: Written = ..., remove: Written = ..., rates: WrittenRates = ...
) -> RoutingSystem: ...
@overload
def changed(
    system: Cluster, *, add: Written = ..., remove: Written = ..., rates: WrittenRates = ...
) -> Cluster: ...
@checked()
def changed(
    system: RoutingSystem | Cluster,
    *,
    add: Written = (),
    remove: Written = (),
    rates: WrittenRates = (),
) -> RoutingSystem | Cluster:
    """The system with some machines more or fewer, and with other arrival rates.

    What is added comes first, then what is removed goes, then rates change.

    Args:
        system: Of kind routing, or a cluster. It stays as it is.
        add: Copies, by what is copied: `{"h100": 2}`, or as on the command line `["h100=2"]`. The
            name is that of a backend, or what the names of backends that are alike have before
            their numbers: h100 for h100-1 and h100-2. A copy has the same curve, prefix cache and
            frontends, and no url; `h100=2@chat,code` gives it to these frontends alone. Of a
            cluster: `servers`, a rack, for servers without data of listed tasks, or a server, whose
            copy holds the same data.
        remove: What goes, likewise: of several backends that are alike those with the highest
            numbers first. A frontend may be named, too.
        rates: New rates of frontends, jobs/s: `{"chat": 12.0}`, or as on the command line
            `["chat=12", "batch=x1.5"]`, where x begins a factor and a name may be a shell-style
            pattern; `"x1.5"` for all. Of a cluster: `x1.5`, or the rate of all tasks together.

    Raises:
        UsageError: A name is unknown (near ones are named), means backends that are not alike, or
            more are removed than there are; a frontend, or a listed task type, is left without any
            machine; single rates of a system whose requests come from a trace.
    """
    changes = changes_in(add, remove, rates)
    if not any(changes):
        raise UsageError("changed: nothing changes; give add, remove or rates")
    if isinstance(system, Cluster):
        return changed_cluster(system, changes)
    return changed_fleet(system, changes)
