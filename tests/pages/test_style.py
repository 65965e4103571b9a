"""The shared stylesheet: its colours, for every eye, on paper and on both themes."""

import re
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from isocline.pages import STYLE

Array = npt.NDArray[np.float64]
THEMES = {"light": 0, "dark": 1}
# Linear RGB as it is seen by people without one kind of cone: Machado, Oliveira and Fernandes
# (2009), severity 1.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def colours(token: str) -> tuple[Array, Array]:
    """Linear RGB of a token, light and dark."""
    found = re.search(rf"--{token}: light-dark\((#[0-9a-f]{{6}}), (#[0-9a-f]{{6}})\);", STYLE.text)
    assert found, token
    both = [np.array([int(it[n : n + 2], 16) / 255 for n in (1, 3, 5)]) for it in found.groups()]
    light, dark = (np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in both)
    return light, dark


def oklab(linear: Array) -> Array:
    """Björn Ottosson's perceptual colours: equal distances look alike."""
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponent = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.asarray(opponent @ np.cbrt(cones @ linear))


def contrast(one: Array, other: Array) -> float:
    """As WCAG 2 has it, of linear RGB."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted((float(weights @ one), float(weights @ other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHT)
def test_tiers_differ_for_every_eye(theme: str, sight: str) -> None:
    seen = [
        oklab(np.clip(SIGHT[sight] @ colours(f"tier-{n}")[THEMES[theme]], 0, 1))
        for n in range(1, 9)
    ]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 0.09


@pytest.mark.parametrize("theme", THEMES)
def test_a_tier_stands_out_from_its_card(theme: str) -> None:
    surface = colours("surface")[THEMES[theme]]
    for n in range(1, 9):
        assert contrast(colours(f"tier-{n}")[THEMES[theme]], surface) > 2.99, n  # WCAG 1.4.11: 3


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        ("ink", "page"),
        ("ink", "sunken"),
        ("muted", "page"),
        ("muted", "surface"),
        ("muted", "sunken"),
        ("accent", "surface"),
        ("accent", "page"),
        ("accent-ink", "accent"),
        ("ok", "ok-wash"),
        ("warn", "warn-wash"),
        ("bad", "bad-wash"),
        ("bad", "surface"),
        ("idle", "idle-wash"),
    ],
)
def test_text_can_be_read(theme: str, ink: str, paper: str) -> None:
    n = THEMES[theme]
    assert contrast(colours(ink)[n], colours(paper)[n]) >= 4.5  # WCAG 2 AA, 1.4.3


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("edge", ["line-strong", "focus"])
def test_controls_have_an_edge(theme: str, edge: str) -> None:
    n = THEMES[theme]
    for paper in ("page", "surface"):
        assert contrast(colours(edge)[n], colours(paper)[n]) >= 3.0, paper


def test_every_token_that_is_used_is_there() -> None:
    used = set(re.findall(r"var\(--([a-z0-9-]+)", STYLE.text))
    assert used <= set(re.findall(r"--([a-z0-9-]+):", STYLE.text))
