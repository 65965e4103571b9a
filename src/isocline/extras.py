"""Extras: which optional dependency a missing module belongs to.

`pip install isocline` is enough to plan and to simulate. Everything else is an extra, so that a
simulator on a cluster need not install an HTTP stack, nor a router a plotting library.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from isocline.errors import MissingExtraError

# Top-level module: the extra in pyproject.toml that brings it.
EXTRAS = {
    "aiohttp": "serve",
    "backports": "serve",
    "cloudpickle": "run",
    "distributed": "dask",
    "google": "picker",
    "hpack": "picker",
    "dns": "discover",
    "envoy": "envoy",
    "fastavro": "locations",
    "fsspec": "locations",
    "httptools": "serve",
    "matplotlib": "plot",
    "msgpack": "kv-events",
    "pandas": "frame",
    "prometheus_client": "serve",
    "pyarrow": "locations",
    "opentelemetry": "telemetry",
    "ray": "ray",
    "urllib3": "locations",
    "uvloop": "serve",
    "zmq": "kv-events",
}


@contextmanager
def extras_named(what: Callable[[], str]) -> Iterator[None]:
    """Name the extra that `what()`, such as "isocline serve", needs where its module is missing.

    Raises:
        MissingExtraError: In place of the ModuleNotFoundError of an optional dependency.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise MissingExtraError(
            f"{what()} needs {module}: pip install 'isocline[{EXTRAS[module]}]'"
        ) from error
