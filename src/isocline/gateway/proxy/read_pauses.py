"""Reasons for which a client connection is not read: bits, as several may hold at a time."""

BACKEND_IS_SLOW, NO_BACKEND_YET, NEXT_REQUEST_IS_HERE = 1, 2, 4
