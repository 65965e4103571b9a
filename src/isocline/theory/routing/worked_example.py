"""The worked example of Figures 1 to 4 of the GMSR paper: four frontends, five backends.

The text of the paper gives the marginal rates and the tiers. The edges of Figure 1 are in the
picture alone: these are chosen so that everything printed holds (the tiers
({f1, f4}, {b1, b5}), ({f2}, {b2}), ({f3}, {b4}), ({}, {b3}), numbered v1 to v4, and no end is
alone). `examples/tiers.yaml` is the same as a system file.
"""

from typing import Final

from isocline.model.graph import CompatibilityGraph
from isocline.theory.routing.structure import Structure, structure_of

MARGINAL_RATES: Final = (3.0, 2.0, 1.0, 2.0, 3.0)
"""l'_b of b1 to b5, as printed under Figure 2."""

NEIGHBOURS: Final = ((0, 1, 4), (1, 2), (2, 3), (3, 4))
"""Backends of f1 to f4, numbered from 0; ours, see above."""


def figure_graph() -> CompatibilityGraph:
    """The compatibility graph in place of Figure 1."""
    return CompatibilityGraph.from_neighbours(len(MARGINAL_RATES), NEIGHBOURS)


def figure_structure() -> Structure:
    """Figures 2 to 4: best-backend graph, tiers and TierGraph."""
    return structure_of(figure_graph(), MARGINAL_RATES)
