"""Words and tables of an audit."""

from io import StringIO

from rich.console import Console

from isocline.report.tables.audit import audit_report, verdict
from tests.report.audit_results import audit


def shown(*arguments: object, **named: object) -> str:
    console = Console(file=StringIO(), width=120, markup=False)
    console.print(audit_report(audit(*arguments, **named)))  # type: ignore[arg-type]
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


def test_without_an_optimum_the_verdict_says_why() -> None:
    said = verdict(audit(4, parts=False)).splitlines()[0]
    assert said == "Mean latency 160 ms; no optimum: the load exceeds what b0 can serve."
    assert "Above the optimum, in points" not in shown(4, parts=False)


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
