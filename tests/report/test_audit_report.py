"""Words and tables of an audit."""

from dataclasses import replace
from io import StringIO

from matplotlib.text import Text
from rich.console import Console

from isocline.audit import Audit
from isocline.report.plots.audit import audit_plot
from isocline.report.tables.audit import audit_report, verdict
from isocline.simulate.common.estimate import Estimate
from tests.report.audit_results import audit


def shown(*arguments: object, **named: object) -> str:
    return shown_of(audit(*arguments, **named))  # type: ignore[arg-type]


def shown_of(found: Audit) -> str:
    console = Console(file=StringIO(), width=120, markup=False)
    console.print(audit_report(found))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_verdict_names_the_parts_from_the_largest_on_and_leaves_out_small_ones() -> None:
    assert verdict(audit()) == (
        "Mean latency 160 ms is 60 % (54 to 66) above the optimum of 100 ms: 30 points "
        "fluctuation, 20 routing, 10 missing connections.\n"
        "On the same arrivals Isocline's gmsr_secant would have given 120 ms: 25 % less (22 to "
        "28).\n"
        "What would help most: let f1 use b1, 10.0 ms less."
    )


def test_a_saving_names_the_latency_that_it_is_of_where_that_is_another() -> None:
    said = verdict(replace(audit(), latency=0.13, steady=False)).splitlines()
    assert said[0].startswith("Mean latency 130 ms, while requests piled up")
    assert "would have given 120 ms in place of 160 ms: 25 % less" in said[1]


def test_the_picture_of_an_unsteady_log_claims_no_optimum() -> None:
    figure = audit_plot(replace(audit(), steady=False))
    words = [it.get_text() for it in figure.findobj(Text)]
    assert "mean latency" in words
    assert not [it for it in words if "optimum" in it or it == "routing"]


def test_without_an_optimum_the_verdict_says_why() -> None:
    said = verdict(audit(4, parts=False)).splitlines()[0]
    assert said == "Mean latency 160 ms; no optimum: the load exceeds what b0 can serve."
    assert "Above the optimum, in points" not in shown(4, parts=False)


def test_less_than_nothing_is_no_gain_unless_it_is_sure() -> None:
    found = audit()
    noise = replace(
        found,
        parts=tuple(
            it._replace(points=Estimate(-2.0, -6.0, 2.0)) if it.name == "outside" else it
            for it in found.parts
        ),
    )
    assert "outside" not in verdict(noise)
    text = shown_of(noise)
    line = next(line for line in text.splitlines() if "outside the backends" in line)
    assert "none measurable" in line
    assert "-2.0" not in line
    sure = replace(
        noise,
        parts=tuple(
            it._replace(points=Estimate(-2.0, -3.0, -1.0)) if it.name == "outside" else it
            for it in found.parts
        ),
    )
    assert "-2 outside the backends" in verdict(sure)


def test_a_saving_whose_interval_holds_zero_is_said_to_be_none_that_can_be_told() -> None:
    found = audit()
    ours, *others = found.policies
    small = ours._replace(saving=Estimate(0.02, -0.03, 0.07))
    said = verdict(replace(found, policies=(small, *others))).splitlines()[1]
    assert said.endswith(": 2 % less (-3 to 7), too little to be told from none.")


def test_while_requests_pile_up_no_parts_are_given() -> None:
    found = replace(audit(), steady=False)
    assert verdict(found).splitlines()[0] == (
        "Mean latency 160 ms, while requests piled up or went down: far from steady, so that the "
        "optimum, about 100 ms at the rate at which requests ended, is rough."
    )
    assert "Above the optimum, in points" not in shown_of(found)


def test_what_to_log_is_said_by_backend_and_workload() -> None:
    text = " ".join(shown().split())
    assert (
        "b0 near N = 15: 60 % of the uncertainty. The log has it there 4 % of the time, and" in text
    )
    assert "mostly at 3 to 9; log hours in which it has that many." in text
    assert "The log has it there 70 % of the time; four times as long a log halves" in text


def test_tables_have_each_policy_and_say_which_overloads() -> None:
    text = shown()
    line = next(line for line in text.splitlines() if line.startswith("round_robin"))
    assert line.split()[-1] == "overloads"
    assert "the log itself" in text
    assert "let f1 use b1" in text
    assert "one more machine like b0" in text
    assert "Caution: Times are to the second." in text
    assert "at least 30.0" in text
    assert "1 line of 5,001 could not be read, the first access.log:7: 'x'" in text
    assert "3 requests went to no backend" in text
    assert "waiting at the router" not in text  # there was none
