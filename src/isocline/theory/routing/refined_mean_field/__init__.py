"""Refined mean field: stationary means of power of d choices as a power series in 1/n.

Read `stationary` (what it answers), then `drift` (of which system), `expansion` (how), and
`fixed_point`.
"""

from isocline.theory.routing.refined_mean_field.stationary import BackendGroup as BackendGroup
from isocline.theory.routing.refined_mean_field.stationary import (
    RefinedMeanField as RefinedMeanField,
)
from isocline.theory.routing.refined_mean_field.stationary import (
    refined_mean_field as refined_mean_field,
)
