"""Options of verbs: shown in named groups, declared with what they apply to, and refused here.

An option that has no effect on a run is a mistake of its user. Each option therefore says once, in
its declaration, to which kind of system it applies and with which others; the help shows it, and
`Verb` refuses the rest before anything runs, in one form: "--slot does not apply without --clock
slotted; add --clock slotted, or leave it out".
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, final

import click
from click.core import ParameterSource

from isocline.cli._numbers import SEED
from isocline.errors import MissingExtraError, UsageError

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

ROUTING, NEAR_DATA = "routing", "near-data"  # kinds of system
OTHERS, OUTPUT = "Options", "Output"
_LEAST_GROUPS = 2  # beside Output; fewer are shown as one list


@final
class Option(click.Option):
    """An option in a group.

    Args:
        declarations: As click has them.
        group: Heading in the help.
        kind: The kind of system that it applies to; None: to both, or the verb takes no system.
        needs: Another option or argument without which it has no effect: "--learn", "NAME", or with
            a value "--clock slotted".
        excludes: Options beside which it has no effect or no meaning, as in `needs`.
        settings: As click has them.
    """

    def __init__(
        self,
        declarations: Iterable[str],
        *,
        group: str = OTHERS,
        kind: str | None = None,
        needs: str | None = None,
        excludes: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        super().__init__(list(declarations), **settings)
        self.group, self.kind, self.needs, self.excludes = group, kind, needs, excludes

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        said = [
            f"kind: {self.kind}" if self.kind else "",
            f"with {self.needs}" if self.needs else "",
            f"not with {', '.join(self.excludes)}" if self.excludes else "",
        ]
        applies = "; ".join(filter(None, said))
        return (record[0], f"{record[1]}  [{applies}]".lstrip()) if record and applies else record


class Verb(click.Command):
    """A verb that shows its options in groups and refuses those that do not apply.

    Not final: `python -m studies` is one outside the group of verbs.
    """

    def invoke(self, ctx: click.Context) -> Any:
        for option in _given(ctx):
            _require_others(ctx, option)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                heading = parameter.group if isinstance(parameter, Option) else OUTPUT  # --help
                groups.setdefault(heading, []).append(record)
        if len(groups.keys() - {OUTPUT}) < _LEAST_GROUPS:
            groups = {OTHERS: [record for records in groups.values() for record in records]}
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def group(heading: str) -> Callable[..., Decorator[Any]]:
    """`click.option` for options in this group, with `kind`, `needs` and `excludes`."""
    return partial(click.option, cls=Option, group=heading)


option = group(OTHERS)


def refusal(option: str, condition: str, remedy: str) -> UsageError:
    """The error of an option that does not apply "to ...", "with ..." or "without ..."."""
    return UsageError(f"{option} does not apply {condition}; {remedy}")


def of_kind(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values, by argument, of the options of the verb under way that apply to this kind of system.

    Raises:
        UsageError: An option for systems of another kind was given.
    """
    ctx = click.get_current_context()
    for option in _given(ctx):
        if option.kind not in (None, kind):
            raise refusal(option.opts[0], f"to kind: {kind}", "leave it out")
    others = {
        parameter.name
        for parameter in ctx.command.params
        if isinstance(parameter, Option) and parameter.kind not in (None, kind)
    }
    return {name: value for name, value in values.items() if name not in others}


def is_given(ctx: click.Context, name: str) -> bool:
    """Whether the argument of this name comes from the command line."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _given(ctx: click.Context) -> list[Option]:
    return [
        parameter
        for parameter in ctx.command.params
        if isinstance(parameter, Option) and is_given(ctx, str(parameter.name))
    ]


def _require_others(ctx: click.Context, option: Option) -> None:
    """Raise UsageError if the option lacks one that it needs, or has one beside it."""
    name = option.opts[0]
    if option.needs is not None and not _in_force(ctx, option.needs):
        remedy = f"add {_with_metavar(ctx, option.needs)}, or leave it out"
        raise refusal(name, f"without {option.needs}", remedy)
    for other in option.excludes:
        if _in_force(ctx, other):
            raise refusal(name, f"with {other}", "leave one of the two out")


def _in_force(ctx: click.Context, words: str) -> bool:
    """Whether "--option", "--option value" or "ARGUMENT" holds."""
    parameter, value = _found(ctx, words)
    if value:
        return str(ctx.params.get(str(parameter.name))) == value
    return is_given(ctx, str(parameter.name))


def _found(ctx: click.Context, words: str) -> tuple[click.Parameter, str]:
    name, _, value = words.partition(" ")
    for parameter in ctx.command.params:
        if name in parameter.opts or name == parameter.human_readable_name:
            return parameter, value
    raise AssertionError(f"{ctx.command.name} has no {name}")


def _with_metavar(ctx: click.Context, words: str) -> str:
    parameter, value = _found(ctx, words)
    bare = value or isinstance(parameter, click.Argument) or not parameter.metavar
    return words if bare else f"{words} {parameter.metavar}"


def file_argument(function: F) -> F:
    """FILE, a system file."""
    return click.argument("file", type=click.Path(path_type=Path))(function)


def json_option(function: F, *, needs: str | None = None) -> F:
    """`--json`, as the argument `as_json`."""
    help_text = "Print one JSON document instead of tables."
    add = group(OUTPUT)("--json", "as_json", is_flag=True, help=help_text, needs=needs)
    return add(function)  # type: ignore[no-any-return]


def seed_option(function: F, *, heading: str = OTHERS, needs: str | None = None) -> F:
    """`--seed S`, as the argument `seed`."""
    add = group(heading)(
        "--seed",
        type=SEED,
        default=0,
        show_default=True,
        metavar="S",
        help="Key of all randomness.",
        needs=needs,
    )
    return add(function)  # type: ignore[no-any-return]


def out_option(function: F) -> F:
    """`--out DIR`, as the argument `out`, and `--dark` for its pictures."""
    add = group(OUTPUT)(
        "--out",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Also write pictures (PNG, SVG) and their data (CSV) to this directory.",
        callback=lambda _, __, out: None if out is None else ready(out),
    )
    return add(dark_option(function, needs="--out"))  # type: ignore[no-any-return]


def log_format_option(function: F) -> F:
    """`--log-format`, in force until the command ends; no argument."""
    add = group(OUTPUT)(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        expose_value=False,
        is_eager=True,  # so that whatever is refused is in this form, too
        help="Form of what is said on stderr: sentences, or a JSON object a line.",
        callback=_log_in_form,
    )
    return add(function)  # type: ignore[no-any-return]


def _log_in_form(ctx: click.Context, parameter: click.Parameter, form: str) -> None:  # noqa: ARG001
    if form == "json" and not ctx.resilient_parsing:
        import sys

        from isocline.structured_log import logging_as_json

        # Of the group: errors are said after the verb's own context has ended.
        ctx.find_root().with_resource(logging_as_json(sys.stderr))


def dark_option(function: F, *, needs: str) -> F:
    """`--dark`, in force while the verb runs; no argument."""
    add = group(OUTPUT)(
        "--dark",
        is_flag=True,
        expose_value=False,
        help="Draw pictures for dark slides and pages.",
        callback=_darken,
        needs=needs,
    )
    return add(function)  # type: ignore[no-any-return]


def _darken(ctx: click.Context, parameter: click.Parameter, dark: bool) -> None:  # noqa: ARG001
    """Pictures are dark where matplotlib's active style is."""
    if dark and not ctx.resilient_parsing:
        _require_matplotlib("--dark")
        from matplotlib import style

        ctx.with_resource(style.context("dark_background"))


def ready(out: Path) -> Path:
    """Make the directory at once: a long run must not end in "permission denied".

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: The directory cannot be made.
    """
    _require_matplotlib("--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; give a directory to write to") from error
    return out


def _require_matplotlib(option: str) -> None:
    """Raise MissingExtraError at once where the pictures of `option` cannot be drawn."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingExtraError(
            f"{option} is for pictures, which need matplotlib: pip install 'isocline[plot]', or "
            "leave it out"
        )
