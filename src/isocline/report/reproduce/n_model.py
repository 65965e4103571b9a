"""Common parts of Figures 7 and 8: the N-model's printed and true equilibria, and colours.

Appendix F prints the equilibrium (2, 1). It follows from 1/(N+2)^2 as the derivative of N/(N+2),
which is actually 2/(N+2)^2; the optimum of Eq. (1) is (sqrt 2, sqrt 2), with fewer jobs in total.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from isocline.report.plots.theme import theme
from isocline.report.reproduce.fits import FloatArray
from isocline.report.reproduce.reproduction import Claim
from isocline.report.reproduce.systems import n_model
from isocline.report.words import number
from isocline.theory.routing.equilibrium import fluid_optimum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRINTED = np.array([2.0, 1.0])
ERRATUM = (
    "Erratum: the paper prints the equilibrium (2, 1), which follows from l2' = 1/(N+2)²; the "
    "derivative is 2/(N+2)², and the equilibrium (√2, √2). (Routing by expected latency does come "
    "to rest at (2, 1).)"
)


@cache
def equilibrium() -> FloatArray:
    """(2,) optimum of Eq. (1), jobs."""
    return fluid_optimum(n_model()).workloads


def erratum_claim() -> Claim:
    """Claim on the printed equilibrium, compared with the optimum."""
    found = equilibrium()
    return Claim(
        f"The equilibrium is ({PRINTED[0]:g}, {PRINTED[1]:g})",
        "Appendix F",
        f"({number(found[0], 5)}, {number(found[1], 5)}), with {number(found.sum())} jobs in place "
        f"of {number(PRINTED.sum())}; what is printed follows from l2' = 1/(N+2)²",
        bool(np.allclose(found, PRINTED, atol=1e-3)),
        {"equilibrium": found.tolist(), "printed": PRINTED.tolist()},
    )


def scale_colors(count: int) -> tuple[str, ...]:
    """Colours for `count` <= 4 scales, coarsest first."""
    scales = theme().scales
    return scales[len(scales) - count :]


def wrong() -> str:
    """Colour of values printed by mistake in the paper."""
    return theme().palette[3]


def mark_levels(axes: "Axes", right: float, backend: int) -> None:
    """Draw both equilibria of a backend as level lines, named at the right end."""
    true, printed = float(equilibrium()[backend]), float(PRINTED[backend])
    apart = 5 if true > printed else -5  # points, so that the names do not overlap
    for level, color, name, up in (
        (true, theme().ink, "√2", apart),
        (printed, wrong(), f"{printed:g} printed", -apart),
    ):
        axes.axhline(level, color=color, lw=0.9, ls=(0, (1, 1.5)), zorder=4)
        axes.annotate(name, (right, level), xytext=(3, up), textcoords="offset points",
                      va="center", fontsize=8, annotation_clip=False)  # fmt: skip
