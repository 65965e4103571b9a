"""The command `python -m studies`."""

from typing import Any

import click

from isocline.cli import _options
from isocline.cli._group import exit_status
from isocline.cli.reproduce import figure_options, make_figure
from studies import STUDIES


class _Study(_options.Verb):
    def invoke(self, ctx: click.Context) -> Any:
        with exit_status(ctx, lambda: STUDIES.command):
            return super().invoke(ctx)


@click.command(cls=_Study, context_settings={"help_option_names": ["-h", "--help"]})
@figure_options("studied")
def main(**given: Any) -> None:
    """Make the figure of a study.

    Prints each claim beside what was measured. Without NAME it lists the studies.
    """
    make_figure(STUDIES, **given)


if __name__ == "__main__":
    main(prog_name=STUDIES.command)
