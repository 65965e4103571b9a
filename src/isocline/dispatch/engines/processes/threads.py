"""Thread limits for the libraries in each worker: its share of the cores.

BLAS, OpenMP and their like start one thread for each core of the machine in each process. With one
worker for each core that makes the square of the number of cores, and every call waits for threads
that are not scheduled. Each library has a variable of its own, which is read when it is loaded.
"""

from collections.abc import Mapping

_VARIABLES = (
    "OMP_NUM_THREADS",  # OpenMP; PyTorch and Arrow go by it, too
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


def thread_variables(workers: int, cores: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables by which each of so many workers uses its share of the cores, at least one.

    Variables that the environment sets are kept: they are the user's own choice.
    """
    share = str(max(cores // workers, 1))
    return {name: share for name in _VARIABLES if name not in environment}
