"""Numbers on the command line: whatever is given, every option takes it or says what to give."""

import math
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.cli._numbers import Number, shares
from isocline.emulator import Faults
from isocline.errors import IsoclineError
from isocline.model.systemfile.one_curve import read_curve
from isocline.model.traffic import arrival_law, patience_of
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.failure import Failure
from isocline.simulate.routing.slowdown import Slowdown
from tests.cli.verbs import above, verbs

WRITTEN = ["nan", "inf", "-inf", "-1", "0", "0.5", "1e400", "", "1e3", "1_000", "10%", "abc", "10m"]
WRITTEN += ["3.5", "-0", " 7 ", "99999999999999999999", "1e-400"]


def options() -> Iterator[tuple[str, click.Option]]:
    for name, verb in verbs().items():
        for parameter in verb.params:
            if isinstance(parameter, click.Option) and is_number(parameter):
                yield name, parameter


def is_number(option: click.Option) -> bool:
    """Also one whose author took click's own types."""
    return isinstance(option.type, Number) or option.type.name.startswith(("integer", "float"))


ALL = list(options())


def test_there_are_numbers_to_try() -> None:
    assert len(ALL) > 35
    assert {name for name, _ in ALL} >= {"simulate", "fluid", "load", "backend", "demo", "run"}


@pytest.mark.parametrize(("verb", "option"), ALL, ids=[f"{v}{o.opts[0]}" for v, o in ALL])
def test_a_number_is_taken_or_the_remedy_is_said(verb: str, option: click.Option) -> None:
    command = verbs()[verb]
    for text in WRITTEN:
        require_taken_or_refused(command, option, text)


def require_taken_or_refused(command: click.Command, option: click.Option, text: str) -> None:
    positional = ["anything" for one in command.params if isinstance(one, click.Argument)]
    required = [
        word
        for one in command.params
        if isinstance(one, click.Option) and one.required
        for word in (one.opts[0], "anything")
    ]
    try:
        context = command.make_context(
            command.name,
            [*positional[:1], *required, f"{option.opts[0]}={text}"],
            parent=above(),
        )
    except click.BadParameter as error:
        said = error.format_message()
        assert option.opts[0] in said
        assert "\n" not in said
        assert repr(text.strip()) in said
        assert "; give " in said
        return
    value = context.params[str(option.name)]
    assert math.isfinite(value)
    assert value == (600.0 if text == "10m" else float(text))
    assert text != "10m" or (command.name, option.opts[0]) == ("measure", "--limit")
    assert value >= 0  # no verb has a use for less


TEXTS: dict[str, tuple[str, Callable[[str], object]]] = {
    "slowdown by": ("b={}@5", Slowdown.parse),
    "slowdown at": ("b=2@{}", Slowdown.parse),
    "failure": ("b@{}", Failure.parse),
    "delay": ("travel={},every=1", Delay.parse),
    "patience": ("exponential:mean={}", patience_of),
    "patience cv": ("lognormal:mean=1,cv={}", patience_of),
    "gamma": ("gamma:cv={}", lambda text: arrival_law(text)(1.0)),
    "batch": ("batch:size={}", lambda text: arrival_law(text)(1.0)),
    "mmpp": ("mmpp:rates={}/2,durations=3/4", lambda text: arrival_law(text)(1.0)),
    "fault": ("error={}", Faults.parse),
    "fault slow": ("slow={}", Faults.parse),
    "curve": ("{{type: knee, peak: 4, knee: 2, sharpness: {}}}", read_curve),
    "load": ("0.5,{}", shares),
}


@pytest.mark.parametrize(("form", "read"), TEXTS.values(), ids=TEXTS.keys())
def test_a_number_within_a_text_is_taken_or_the_remedy_is_said(
    form: str, read: Callable[[str], object]
) -> None:
    for number in WRITTEN:
        try:
            read(form.format(number))
        except (IsoclineError, click.BadParameter) as error:
            said = str(error)
            assert "give " in said, number
            assert "\n" not in said, number


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("simulate f --threads 0", "'0' is out of range; give a whole number, 1 or more, such as"),
        ("simulate f --threads -3", "'-3' is out of range"),
        ("simulate f --replications 3.5", "'3.5' is no whole number; give a whole number, 2 or"),
        ("simulate f --precision 1", "give a finite number above 0 and below 1, such as 0.01"),
        ("simulate f --horizon 10m", "'10m' is no number of seconds; give 600"),
        ("simulate f --horizon -10m", "give a finite number of seconds above 0, such as 10"),
        ("simulate f --warmup nan", "'nan' is not finite; give a finite number of seconds, 0 or"),
        (
            "simulate f --load 80",
            "'80': give shares of the capacity above 0, as 0.5,0.7,0.9; for 80 %",
        ),
        ("simulate f --load 80%", "above 0, as 0.5,0.7,0.9; for 80 % give 0.8"),
        (
            "simulate f --load 0.5,nan",
            "'nan': give shares of the capacity above 0, as 0.5,0.7,0.9\n",
        ),
        ("simulate f --load 1e6", "'1e6': give shares of the capacity above 0, as 0.5,0.7,0.9\n"),
        ("simulate f --load -0.5", "'-0.5': give shares of the capacity above 0, as 0.5,0.7,0.9\n"),
        ("simulate f --load=", "'': give shares of the capacity above 0, as 0.5,0.7,0.9\n"),
        ("fluid f --then 20=", "'20=': give a time in s and a system file, as in 20=after.yaml"),
        ("fluid f --then nan=f", "'nan=f': 'nan' is not finite; give a finite number of seconds"),
        ("fluid f --then 0=f", "'0=f': '0' is out of range; give a finite number of seconds above"),
        ("simulate f --then 2m=f", "'2m=f': '2m' is no number of seconds; give 120"),
        ("simulate f --seed -1", "'-1' is out of range; give a whole number, 0 or more"),
    ],
)
def test_the_remedy_is_that_of_the_option(
    arguments: str, words: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("numbers") / "f.yaml"
    file.write_text(
        "kind: routing\nbackends: [{name: b, curve: {type: hyperbolic, peak: 4, half: 2}}]\n"
        'frontends: [{name: f, rate: 1, backends: ["*"]}]\n'
    )
    given = [str(file) if word == "f" else word for word in arguments.split()]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 2
    assert words in result.stderr
