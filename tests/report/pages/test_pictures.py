"""Pictures within pages: the page's colours, ids of their own, texts that stay texts."""

import re

from isocline.report.pages.pictures import figure_of, picture
from isocline.report.plots.policies import policies_plot
from isocline.report.plots.theme import LIGHT
from isocline.simulate.routing.results import Comparison
from tests.report.pages.reading import HOSTILE, Page
from tests.report.routing_results import make


def shown(comparison: Comparison, twice: bool = False) -> Page:
    drawn = [picture(lambda: policies_plot(comparison), "means") for _ in range(1 + twice)]
    return Page("".join(str(figure_of(one, "caption")) for one in drawn))


def test_colours_are_those_of_the_page_and_nothing_is_loaded() -> None:
    page = shown(make(), twice=True)
    left = {color.lower() for color in re.findall(r"#[0-9a-fA-F]{6}\b", page.source)}
    assert left & {LIGHT.paper, LIGHT.ink.lower(), *(c.lower() for c in LIGHT.palette)} == set()
    assert "var(--tier-1)" in page.source
    assert "http" not in page.source
    assert page.requests() == []


def test_ids_of_two_pictures_differ_and_each_is_found() -> None:
    page = shown(make(), twice=True)
    assert len(set(page.ids)) == len(page.ids)
    used = re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", page.source)
    assert used
    assert {first or second for first, second in used} <= {*page.ids}


def test_the_heading_and_the_small_print_are_texts_of_the_page() -> None:
    comparison = make()
    drawn = picture(lambda: policies_plot(comparison), "means")
    assert drawn.heading == "small fleet: latency of each policy"
    assert drawn.small.startswith("Arrivals: Poisson")
    words = Page(str(figure_of(drawn, "caption"))).words
    assert words.count("replications of 300 s") == 1  # not drawn, too
    for policy in comparison.policies:
        assert policy.policy in words


def test_names_with_markup_are_drawn_as_they_are() -> None:
    from dataclasses import replace

    comparison = make()
    policies = (replace(comparison.policies[0], policy=HOSTILE[:24]), *comparison.policies[1:])
    page = shown(replace(comparison, policies=policies, system=HOSTILE))
    assert HOSTILE[:8] in page.words
    assert not page.named("script")
    assert page.requests() == []
