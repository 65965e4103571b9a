"""Names fit the room that they have; ticks the axis."""

import matplotlib as mpl
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.report.plots.lettering import short_names, shortened, width
from isocline.report.plots.style import log_above, log_axis, new_figure
from isocline.report.plots.ticks import Numbers

WORDS = st.text("abW -_中$", min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(name=WORDS, room=st.floats(0.5, 3.0))
def test_a_name_is_whole_where_it_fits_and_fits_where_it_is_cut(name: str, room: float) -> None:
    with mpl.rc_context():
        cut = shortened(name.replace("中", "i"), room)
        assert width(cut) <= room
        whole = " ".join(name.replace("中", "i").split())
        assert cut == whole if width(whole) <= room else "…" in cut


def test_names_that_differ_in_the_middle_alone_are_cut_elsewhere() -> None:
    names = [f"{'a' * 20}{middle}{'b' * 20}" for middle in ("-one-", "-two-")]
    assert len(set(short_names(names, 2.0))) == 2


def test_numbers_of_an_axis_are_written_in_one_way() -> None:
    plain, wide = [0.0, 10.0, 1000.0], [0.0, 1.0, 1e4, 3e8]
    assert Numbers().format_ticks(plain) == ["0", "10", "1,000"]
    assert Numbers().format_ticks(wide) == ["0", "10⁰", "10⁴", "3×10⁸"]
    assert Numbers().format_ticks([1e-6, 1e-3]) == ["10⁻⁶", "10⁻³"]


def test_a_logarithmic_axis_has_as_many_ticks_as_there_is_room_for() -> None:
    figure = new_figure(height=2.0)
    narrow, wide, zero = figure.subplots(1, 3)
    for axes, (low, high) in ((narrow, (1.0, 6.0)), (wide, (1e-9, 1e9))):
        axes.set_ylim(low, high)
        log_axis(axes, "y")
    zero.set_ylim(0.0, 1e12)
    log_above(zero, 10.0, "")
    figure.draw_without_rendering()
    assert narrow.get_yticks().tolist() == [1.0, 2.0, 3.0, 5.0]
    for axes in (wide, zero):
        assert 3 <= len(axes.get_yticks()) <= 10
    assert zero.get_yticks()[0] == 0.0
