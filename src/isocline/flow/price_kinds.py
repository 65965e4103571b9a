"""Kinds of prices, as codes that compiled kernels branch on."""

HYPERBOLIC, EXPONENTIAL, KNEE, TABLE, SERVERS, CUSTOM, LINEAR, COMPOSED, MEAN = range(9)
