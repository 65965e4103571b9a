"""Changes of a run between two snapshots, as events for viewers."""

from collections.abc import Iterator
from dataclasses import replace

from isocline.dispatch.live_page.observer import NodeSnapshot, NodeTask, RunSnapshot
from isocline.pages.live import Event, condensed
from isocline.plural import counted


def changes_between(before: RunSnapshot, after: RunSnapshot) -> list[Event]:
    """Events of nodes, copies and failed tasks, and the end of the run."""
    then = {it.name: it for it in before.nodes}
    known = {task.number for _, task in _copies(before)}
    nodes = [
        event for node in after.nodes for event in _of_node(then.get(node.name), node, after.over)
    ]
    copies = [
        Event("copy", task.key, f"also runs at {node.name}, as it takes long elsewhere", "idle")
        for node, task in _copies(after)
        if task.number not in known
    ]
    failed = [
        Event("failed", one.key, f"was given up: {one.error}", "bad") for one in after.failures
    ]
    return [
        *condensed(nodes, "node"),
        *condensed(copies, "copy"),
        *condensed(failed, "task"),
        *_of_run(before, after),
    ]


def changes_before(first: RunSnapshot) -> list[Event]:
    """Events up to the first snapshot, of a run that began with all nodes up."""
    nodes = tuple(it._replace(state="up", tasks=(), losses=0) for it in first.nodes)
    return changes_between(replace(first, over=False, nodes=nodes), first)


def _copies(snapshot: RunSnapshot) -> list[tuple[NodeSnapshot, NodeTask]]:
    return [(node, task) for node in snapshot.nodes for task in node.tasks if task.copy]


def _of_node(then: NodeSnapshot | None, now: NodeSnapshot, over: bool) -> Iterator[Event]:
    if then is None:
        yield Event("joined", now.name, "came up during the run", "idle")
    elif now.losses - then.losses > (now.state == "down" and then.state != "down"):
        # It was lost and came back between the snapshots.
        text = f"was down for a moment: {now.reason or 'it ended'}"
        yield Event("lost", now.name, text, "bad")
    if then is None or now.state == then.state:
        return
    if now.state == "down":
        if not over:  # at the end of a run its nodes are stopped
            yield Event("lost", now.name, f"is down: {now.reason or 'it ended'}", "bad")
    elif now.state == "silent":
        text = "does not answer; its data is read elsewhere, or tasks wait for it"
        yield Event("silent", now.name, text, "warn")
    else:
        answers = then.state == "silent"
        yield Event("back", now.name, "answers again" if answers else "is up again", "ok")


def _of_run(before: RunSnapshot, after: RunSnapshot) -> Iterator[Event]:
    if not after.over or before.over:
        return
    found = after.statistics
    parts = [counted(found.finished + found.resumed, "task") + " finished"]
    if found.failed:
        parts.append(f"{found.failed:,} failed")
    if found.cancelled:
        parts.append(f"{found.cancelled:,} cancelled")
    text = f"has ended: {', '.join(parts)}"
    if found.cancelled:
        yield Event("stopped", "", text, "warn")
    else:
        yield Event("finished", "", text, "bad" if found.failed else "ok")
