"""All verbs of the command line, in the context in which a user calls them."""

import click

from isocline.cli import main


def above() -> click.Context:
    """The context of `isocline` itself, which says by which names help is asked for.

    A verb keeps the help option of the first context that asks it, so that none may lack the names.
    """
    return click.Context(main, info_name="isocline", **main.context_settings)


def verbs() -> dict[str, click.Command]:
    """All verbs by name."""
    context = above()
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    return {name: verb for name, verb in found.items() if verb is not None}
