"""`isocline control`."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isocline.cli import _options, _output
from isocline.cli._numbers import SECONDS

if TYPE_CHECKING:
    from isocline.gateway.serve.control_client import ControlClient

_FIELDS: dict[str, tuple[str, Any]] = {
    "drain": ("draining", True),
    "undrain": ("draining", False),
    "freeze": ("frozen", True),
    "unfreeze": ("frozen", False),
    "weight": ("weight", None),
    "share": ("max_share", None),
}
_ACTIONS = ("list", *_FIELDS, "forget", "curves", "reload")
_NEGATIVE = 1


@click.command("control", cls=_options.Verb)
@click.argument("url")
@click.argument("action", type=click.Choice(_ACTIONS), default="list")
@click.argument("name", required=False)
@click.argument("value", required=False)
@_options.option(
    "--wait",
    is_flag=True,
    help="Wait until the backend has no request in flight.",
    needs="ACTION drain",
)
@_options.option(
    "--timeout",
    type=SECONDS,
    default=600.0,
    show_default=True,
    metavar="T",
    help="Longest wait, s; exit status 1 after it.",
    needs="--wait",
)
@_options.option(
    "--force",
    is_flag=True,
    help="Also if it is the last backend in service of a frontend.",
    needs="ACTION drain",
)
@_options.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the key; else it is in ISOCLINE_ADMIN_KEY.",
)
@_options.json_option
def command(
    url: str,
    action: str,
    name: str | None,
    value: str | None,
    wait: bool,
    timeout: float,
    force: bool,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Control a router that runs, by calls of its admin listener.

    URL is the address that `isocline serve` calls admin. Without an action backends are listed.

    \b
    isocline control 127.0.0.1:9090 drain h100-3 --wait
    isocline control 127.0.0.1:9090 weight h100-3 0.5     # "file": as the file says
    isocline control 127.0.0.1:9090 share canary 0.05

    The router's file has to allow it, by serve.admin_control.
    """  # noqa: D301 - click's mark for "do not rewrap" is the backspace itself
    from isocline.gateway.serve.control_client import ControlClient

    _require_arguments(action, name, value)
    client = ControlClient(url, _key(key_file))
    if action == "list":
        found: dict[str, Any] = {"backends": client.backends()}
    elif action == "reload":
        found = client.reload()
    elif action == "curves":
        found = client.curves(name) if as_json else {"yaml": client.curves_as_yaml(name)}
    elif action == "forget":
        found = client.forget(str(name))
    else:
        field, wanted = _FIELDS[action]
        if value is not None:
            wanted = None if value == "file" else _number(action, value)
        found = client.change(str(name), {field: wanted} | ({"force": True} if force else {}))
    if as_json:
        _output.show_json(found)
    else:
        _show(action, name, found)
    if wait:
        _wait(client, str(name), timeout, quiet=as_json)


def _require_arguments(action: str, name: str | None, value: str | None) -> None:
    """Raise UsageError unless an action has the arguments that it takes, and no others."""
    from isocline.errors import UsageError
    from isocline.plural import counted

    wanted = {"list": 0, "reload": 0, "curves": 0, "weight": 2, "share": 2}.get(action, 1)
    most = 1 if action == "curves" else wanted
    given = [it for it in (name, value) if it]  # an empty one, as of an unset variable, is none
    if not wanted <= len(given) <= most:
        usage = " ".join([action, *("NAME", "VALUE")[:wanted]])
        if action == "curves":
            usage += " [NAME]"
        raise UsageError(f"{action}: {counted(len(given), 'argument')}; give {usage}")


def _key(file: Path | None) -> str | None:
    """Key of the operator; None if there is none, which reads do not need."""
    from isocline.errors import UsageError

    if file is None:
        return os.environ.get("ISOCLINE_ADMIN_KEY") or None
    try:
        words = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--key-file {file}: cannot be read: {error}") from None
    if not 1 <= len(words) <= 2:
        raise UsageError(f"--key-file {file}: {len(words)} words; give a key, or a name and a key")
    return words[-1]


def _number(action: str, text: str) -> float:
    from isocline.errors import UsageError

    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):  # which JSON could not say
        raise UsageError(f"{action}: {text!r} is no number; give one, or file")
    return number


def _show(action: str, name: str | None, found: Mapping[str, Any]) -> None:
    """Print what an action has found or changed."""
    if action == "list":
        from isocline.report.tables.controls import controls_report

        _output.show(controls_report(found["backends"]))
    elif action == "curves":
        click.echo(found["yaml"], nl=False)
    elif action == "reload":
        click.echo(f"reloaded: {found['reloaded']}")
        for note in found["notes"]:
            click.echo(f"note: {note}", err=True)
    elif action == "forget":
        click.echo(f"{name}: {found['message']}")
    else:
        for what, (before, after) in found["changed"].items():
            click.echo(f"{name}: {what} {_shown(before)} -> {_shown(after)}")
        if not found["changed"]:
            field = _FIELDS[action][0]
            click.echo(f"{name}: {field} {_shown(found['backend'][field])}, as before")
        for note in found["notes"]:
            click.echo(f"note: {note}", err=True)


def _wait(client: "ControlClient", name: str, timeout: float, quiet: bool) -> None:
    def say(jobs: int) -> None:
        click.echo(f"{name}: {jobs} in flight", err=True)

    if not client.wait_until_idle(name, timeout, say):
        click.echo(f"isocline: {name}: requests are in flight after {timeout:g} s", err=True)
        click.get_current_context().exit(_NEGATIVE)
    if not quiet:
        click.echo(f"{name}: no request in flight")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
