"""Controls of backends: how long a change holds, and what a reload does to it."""

from isocline.gateway.serve.controls import BackendControl, Controls, differences

ALL = ("drain", "weight", "max_share", "curves")
GIVEN = {"a": BackendControl(weight=2.0), "b": BackendControl()}


def test_a_change_holds_until_it_is_undone() -> None:
    controls = Controls(GIVEN).changed("a", {"weight": 0.5, "draining": True}, "ann", 1.0)
    assert controls.of("a") == BackendControl(draining=True, weight=0.5)
    assert controls.of("b") == BackendControl()
    assert controls.changes["a"]["weight"].by == "ann"
    undone = controls.changed("a", {"weight": None, "draining": False}, "bob", 2.0)
    assert undone == Controls(GIVEN)


def test_a_change_to_what_the_file_says_is_none() -> None:
    controls = Controls(GIVEN).changed("a", {"weight": 0.5}, "ann", 1.0)
    assert controls.changed("a", {"weight": 2.0}, "ann", 2.0) == Controls(GIVEN)
    assert Controls(GIVEN).changed("b", {"max_share": 1.0}, "ann", 1.0) == Controls(GIVEN)


def test_differences_have_both_values() -> None:
    before = Controls(GIVEN)
    after = before.changed("a", {"weight": 1.0, "frozen": True}, "ann", 1.0)
    assert differences(before.of("a"), after.of("a")) == {
        "weight": (2.0, 1.0),
        "frozen": (False, True),
    }


def test_a_change_outlasts_a_file_that_says_something_else() -> None:
    controls = Controls(GIVEN).changed("a", {"weight": 0.5}, "ann", 1.0)
    same, notes = controls.reloaded(GIVEN, ALL)
    assert (same, notes) == (controls, [])
    given = GIVEN | {"a": BackendControl(weight=3.0)}
    after, notes = controls.reloaded(given, ALL)
    assert after.of("a").weight == 0.5
    assert notes == ["backend a: weight 0.5, set by ann, holds, though the file now says 3"]
    assert after.reloaded(given, ALL) == (after, [])  # said once
    assert after.changed("a", {"weight": None}, "ann", 2.0).of("a").weight == 3.0


def test_a_file_that_comes_to_say_the_same_takes_over() -> None:
    controls = Controls(GIVEN).changed("a", {"weight": 0.5}, "ann", 1.0)
    given = GIVEN | {"a": BackendControl(weight=0.5)}
    assert controls.reloaded(given, ALL) == (Controls(given), [])


def test_a_change_waits_for_a_backend_that_comes_back() -> None:
    controls = Controls(GIVEN).changed("a", {"draining": True}, "ann", 1.0)
    without, notes = controls.reloaded({"b": BackendControl()}, ALL)
    assert notes == [
        "backend a: draining true, set by ann, waits for it: it is no longer in the file"
    ]
    assert without.reloaded({"b": BackendControl()}, ALL) == (without, [])
    again, notes = without.reloaded(GIVEN, ALL)
    assert again.of("a").draining
    assert notes == []


def test_what_the_file_no_longer_allows_is_undone() -> None:
    controls = Controls(GIVEN).changed("a", {"draining": True, "weight": 0.5}, "ann", 1.0)
    after, notes = controls.reloaded(GIVEN, ("weight",))
    assert after.of("a") == BackendControl(weight=0.5)
    assert notes == [
        "backend a: draining true, set by ann, is undone: the file no longer allows it"
    ]
    assert controls.reloaded(GIVEN, ())[0] == Controls(GIVEN)
