"""Why a client's connection is not read: bits, as there may be several reasons at a time."""

BACKEND_IS_SLOW, NO_BACKEND_YET, NEXT_REQUEST_IS_HERE = 1, 2, 4
