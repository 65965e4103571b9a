"""Stand-in for Envoy around the module: a cluster whose hosts are as the caller says.

The module is compiled with `stand_in.c` in place of Envoy's functions, so that its decisions can be
compared with others, one by one, and without a proxy.
"""

import ctypes
import functools
import os
from collections.abc import Sequence
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.planes.envoy.module_build import SOURCE, library
from isocline.planes.envoy.policy_config import configuration_lines
from isocline.randomness.draws import Stream


@final
class StandIn:
    """One cluster in one thread. All clusters of a thread know each other's requests.

    Attributes:
        active: (n,) uint64, active requests of each host; written by the caller.
        waiting: (n,) uint8, whether requests to a host wait for a connection; written by the
            caller. Envoy does not count them then.
        healthy: (n,) uint8, whether each host is; written by the caller, then `update`.
        refused: (n,) uint8, whether Envoy wants another host, as for a retry; written by the
            caller.
    """

    def __init__(
        self,
        table: str | os.PathLike[str],
        frontend: str,
        addresses: Sequence[str],
        stream: Stream | None = None,
    ) -> None:
        """Make a cluster of idle, healthy hosts.

        Args:
            table: Path of the price table.
            frontend: Name in the table.
            addresses: Of the hosts.
            stream: (2,) what ties are drawn from; clusters may share it. If not given the module's
                own.

        Raises:
            UsageError: The module cannot be compiled, or refuses its configuration.
        """
        self._library = _loaded()
        texts = (ctypes.c_char_p * len(addresses))(*(one.encode() for one in addresses))
        lines = configuration_lines(table, frontend)
        self._handle = self._library.stand_in_new(lines.encode(), len(addresses), texts)
        if not self._handle:
            raise UsageError(message())
        self._stream = None if stream is None else stream.ctypes.data
        self._kept = stream
        count = len(addresses)
        self.active = self._array("active", np.uint64, count)
        self.waiting = self._array("waiting", np.uint8, count)
        self.healthy = self._array("healthy", np.uint8, count)
        self.refused = self._array("refused", np.uint8, count)

    def pick(self) -> int:
        """Number of the host that the module picks; -1 for none."""
        return int(self._library.stand_in_pick(self._handle, self._stream))

    def pick_often(self, times: int) -> None:
        """Pick so many times, with ties drawn from the module's own stream."""
        self._library.stand_in_pick_often(self._handle, times)

    def update(self) -> None:
        """Let the module know of changes in `healthy`."""
        self._library.stand_in_update(self._handle)

    def close(self) -> None:
        """Destroy the cluster; may be repeated."""
        if self._handle:
            self._library.stand_in_free(self._handle)
        self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _array(self, name: str, kind: type[np.generic], count: int) -> npt.NDArray[Any]:
        start = getattr(self._library, f"stand_in_{name}")(self._handle)
        octets = (ctypes.c_char * (count * np.dtype(kind).itemsize)).from_address(start)
        return np.frombuffer(memoryview(octets), kind)


def message() -> str:
    """Last line that the module logged."""
    return str(_loaded().stand_in_message().decode())


def is_warning() -> bool:
    """Whether that line is one that is shown by default."""
    return bool(_loaded().stand_in_is_warning())


def messages() -> int:
    """How many lines the module has logged in this process."""
    return int(_loaded().stand_in_messages())


@functools.cache
def _loaded() -> ctypes.CDLL:
    source = SOURCE.with_name("stand_in.c")
    loaded = ctypes.CDLL(
        str(library((source, SOURCE), "envoy_stand_in", ('-DISOCLINE_ENVOY_ABI=""',)))
    )
    pointer = ctypes.c_void_p
    loaded.stand_in_new.argtypes = [ctypes.c_char_p, ctypes.c_size_t, pointer]
    loaded.stand_in_new.restype = pointer
    for name in ("free", "active", "waiting", "healthy", "refused", "update"):
        getattr(loaded, f"stand_in_{name}").argtypes = [pointer]
    for name in ("active", "waiting", "healthy", "refused"):
        getattr(loaded, f"stand_in_{name}").restype = pointer
    loaded.stand_in_pick.argtypes = [pointer, pointer]
    loaded.stand_in_pick.restype = ctypes.c_int64
    loaded.stand_in_pick_often.argtypes = [pointer, ctypes.c_uint64]
    loaded.stand_in_message.restype = ctypes.c_char_p
    loaded.stand_in_messages.restype = ctypes.c_uint64
    loaded.stand_in_is_warning.restype = ctypes.c_bool
    return loaded
