"""Price table: a mapped file by which Python gives prices to the module inside Envoy.

    table = PriceTable.create(path, ["eu"], {"h100": "10.0.0.1:8000", "l4": "10.0.0.2:8000"})
    table.write(prices)  # (backends, limit + 1): the price of one more job at 0 .. limit jobs
    table.correct([3, 0])  # jobs that Envoy's own count of requests does not show
    table.beat()  # at least every `stale_after` seconds

One process writes, and any number of Envoy's threads read, none of which ever waits. A table is
written in full beside the one in force, which then changes places with it: the sequence number
grows by one before and by one after, so that it is odd while a table is being written. A reader
takes table `sequence / 2 modulo 2`, which nobody writes until the sequence has grown by 3 or more,
and reads again where that has happened. A writer that dies half-way leaves the last whole table.

Layout, in the machine's byte order (`module.c` reads the same):

====== ===== =====================================================================================
offset type  content
====== ===== =====================================================================================
0      8 B   MAGIC
8      u32   VERSION
12     u32   CRC-32 of bytes 16 to 63 and of the names
16     u64   bytes of the file
24     u64   identity: another one for each file
32     u32   F, frontends
36     u32   B, backends
40     u32   T, tables of prices: 1 for all frontends, or F
44     u32   K, workloads priced: 0 .. K - 1 jobs
48     u64   ns after which a table without a heartbeat is stale; 0: never
56     u64   bytes of the names
64     u64   sequence
72     u64   heartbeat, ns of CLOCK_MONOTONIC
80     u64   1 once another file has taken this one's place
128           names: of each frontend; of each backend, then its addresses, then an empty string;
              all of them UTF-8 and ended by a zero byte
next   i64   (B,) corrections: jobs beyond those that Envoy counts; each is written alone
next         twice: (F, B) u8 whether a frontend may use a backend; (F, B) f64 delays, in the unit
             of prices; (T, B, K) f64 prices
====== ===== =====================================================================================

Names, corrections, each of the two and the parts of them begin at multiples of 64 bytes.
"""

import math
import mmap
import os
import secrets
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, final

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError

MAGIC = b"isoprice"
VERSION = 1
LIMIT = 1024  # jobs up to which prices are told apart, unless given

_PREFIX = struct.Struct("=8sII")  # magic, version, CRC-32
_SHAPE = struct.Struct("=QQIIIIQQ")  # from `size` to the bytes of the names
_SEQUENCE, _HEARTBEAT, _REPLACED = 8, 9, 10  # words of 8 bytes
_NAMES = 128
_ALIGNED = 64

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
T = TypeVar("T", bound=np.generic)


@final
@dataclass(frozen=True, eq=False)
class Prices:
    """Content of a table at one time: F frontends, B backends, K workloads.

    Attributes:
        generation: How many tables have been written, 0 for none yet.
        prices: (B, K), or (F, B, K) where each frontend has prices of its own.
        allowed: (F, B), whether a frontend may use a backend.
        delays: (F, B), what is added to prices for the way from a frontend to a backend.
        corrections: (B,), jobs beyond those that Envoy counts.
        heartbeat: ns of the monotonic clock.
    """

    generation: int
    prices: FloatArray
    allowed: BoolArray
    delays: FloatArray
    corrections: IntArray
    heartbeat: int


@final
class PriceTable:
    """Writer, and for tests reader, of one mapped file.

    Attributes:
        path: Where the file is.
        frontends: Names.
        backends: Names, each with its addresses (`host:port` as Envoy prints them).
        limit: Largest workload that has a price of its own; more jobs cost as much.
        per_frontend: Whether each frontend has prices of its own.
    """

    def __init__(self, path: Path, mapped: mmap.mmap, layout: "_Layout") -> None:
        self.path = path
        self.frontends, self.backends = layout.names(mapped)
        self.limit = layout.columns - 1
        self.per_frontend = layout.tables > 1
        self._map: mmap.mmap | None = mapped
        self._layout = layout
        self._words = np.frombuffer(mapped, np.uint64, _NAMES // 8)
        self._corrections = np.frombuffer(mapped, np.int64, layout.backends, layout.corrections)
        self._slots = [layout.slot(mapped, 0), layout.slot(mapped, 1)]

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        frontends: Sequence[str],
        backends: Mapping[str, str | Sequence[str]],
        *,
        limit: int = LIMIT,
        per_frontend: bool = False,
        stale_after: float = 5.0,
        prices: npt.ArrayLike | None = None,
    ) -> Self:
        """Make a table, which takes the place of another file at once.

        Modules that have that one open change over to this one when they pick next. Without
        `prices` they do without it until `write`.

        Args:
            path: Of the file; its directory has to be there.
            frontends: Names.
            backends: Addresses of each, one or several, as Envoy prints them: `10.0.0.1:8000`,
                `[::1]:8000`. A name itself stands for hosts whose metadata give it (filter
                `isocline`, key `backend`).
            limit: Largest workload with a price of its own.
            per_frontend: Whether each frontend has prices of its own, as with a policy that has a
                memory.
            stale_after: s without `beat` after which modules no longer use the table; 0 for never.
            prices: What the table holds from the first, as of `write`.

        Raises:
            UsageError: Names that repeat or cannot be kept, numbers out of range, a file that
                cannot be written, or another that is no price table in its place; or as `write`.
        """
        place = Path(path)
        if not (math.isfinite(stale_after) and stale_after >= 0):
            raise UsageError(f"stale_after={stale_after:g}: give seconds, 0 or more")
        if limit < 1:
            raise UsageError(f"limit={limit}: give 1 or more")
        names = _packed(frontends, backends)
        layout = _Layout(
            len(frontends),
            len(backends),
            len(frontends) if per_frontend else 1,
            limit + 1,
            round(stale_after * 1e9),
            len(names),
            secrets.randbits(64),
        )
        try:
            former, draft = _former(place), _drafted(place, layout, names)
            try:
                made = cls(place, _mapped(draft, writable=True), layout)
                if prices is not None:
                    made.write(prices)
                draft.replace(place)
            finally:
                draft.unlink(missing_ok=True)
            if former is not None:
                _mark_replaced(former)
            return made
        except OSError as error:
            raise UsageError(
                f"{place}: the price table cannot be written: {error.strerror}; "
                "give a path in a directory that can be"
            ) from None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Map a table that is there, to read it.

        Raises:
            UsageError: It is not there, no price table, cut short, damaged, or of a version other
                than VERSION.
        """
        place = Path(path)
        try:
            mapped = _mapped(place, writable=False)
        except OSError as error:
            raise UsageError(f"{place}: the price table cannot be read: {error.strerror}") from None
        except ValueError:  # an empty file
            raise _cut_short(place, 0, _NAMES) from None
        return cls(place, mapped, _Layout.of(place, mapped))

    @property
    def identity(self) -> int:
        """Number of the file, by which two of them are told apart."""
        return self._layout.identity

    @property
    def generation(self) -> int:
        """How many tables have been written whole."""
        return int(self._words[_SEQUENCE]) // 2

    def write(
        self,
        prices: npt.ArrayLike,
        allowed: npt.ArrayLike | None = None,
        delays: npt.ArrayLike | None = None,
    ) -> None:
        """Put a whole table in force.

        Args:
            prices: (backends, limit + 1), or (frontends, backends, limit + 1) if the table is
                `per_frontend`: of one more job where so many are. Lower is better; inf is allowed.
            allowed: (frontends, backends), whether a frontend may use a backend. If not given as
                before; at first all may.
            delays: (frontends, backends), added to prices, and in their unit. If not given as
                before; at first 0.

        Raises:
            UsageError: Another shape, or a number that is none; nothing is written then.
        """
        before = self._slots[self.generation % 2]
        after = self._slots[(self.generation + 1) % 2]
        first = self.generation == 0
        new = (
            _checked("allowed", allowed, before.allowed, 1 if first else None),
            _checked("delays", delays, before.delays, 0.0 if first else None),
            _checked("prices", prices, before.prices, None),
        )
        sequence = int(self._words[_SEQUENCE])
        self._put(_SEQUENCE, sequence | 1)  # odd already if a writer died: it wrote the same place
        after.allowed[...], after.delays[...], after.prices[...] = new
        self._put(_SEQUENCE, (sequence | 1) + 1)
        self.beat()

    def correct(self, corrections: npt.ArrayLike) -> None:
        """Set how many jobs each backend has beyond the requests that Envoy counts.

        Reports of a backend say how many jobs it had; less the requests that Envoy counted then,
        that is what to give here. It may be negative.

        Args:
            corrections: (backends,) whole numbers.

        Raises:
            UsageError: Another shape, or no whole numbers.
        """
        given = np.asarray(corrections)
        if given.shape != self._corrections.shape or given.dtype.kind not in "iu":
            raise UsageError(
                f"corrections: {given.dtype} {given.shape}; give {len(self.backends)} whole "
                "numbers, one for each backend"
            )
        self._corrections[...] = given
        self.beat()

    def beat(self, now: Callable[[], int] = time.monotonic_ns) -> None:
        """Tell modules that prices are still looked after."""
        self._put(_HEARTBEAT, now())

    def read(self) -> Prices:
        """Copy of what is in force."""
        while True:
            generation = self.generation
            slot = self._slots[generation % 2]
            prices, allowed, delays = slot.prices.copy(), slot.allowed.copy(), slot.delays.copy()
            if int(self._words[_SEQUENCE]) < 2 * generation + 3:
                return Prices(
                    generation,
                    prices if self.per_frontend else prices[0],
                    allowed.astype(np.bool_),
                    delays,
                    self._corrections.copy(),
                    int(self._words[_HEARTBEAT]),
                )

    def close(self) -> None:
        """Unmap the file, which stays where it is; may be repeated."""
        if self._map is None:
            return
        self._words = np.zeros(_NAMES // 8, np.uint64)
        self._corrections = np.zeros(0, np.int64)
        self._slots = []
        mapped, self._map = self._map, None
        with suppress(BufferError):  # somebody still has an array of it: it goes with that
            mapped.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, word: int, value: int) -> None:
        """Store 8 bytes after all stores before, and before all that follow."""
        _barrier()
        self._words[word] = value
        _barrier()


@final
@dataclass(frozen=True)
class _Slot:
    """One of the two tables, as views of the mapped file."""

    allowed: npt.NDArray[np.uint8]  # (F, B)
    delays: FloatArray  # (F, B)
    prices: FloatArray  # (T, B, K)


@final
@dataclass(frozen=True)
class _Layout:
    """Where everything stands."""

    frontends: int
    backends: int
    tables: int
    columns: int
    stale_after: int  # ns
    names_size: int
    identity: int

    @property
    def corrections(self) -> int:
        return _aligned(_NAMES + self.names_size)

    @property
    def first_slot(self) -> int:
        return _aligned(self.corrections + 8 * self.backends)

    @property
    def delays(self) -> int:
        """Of a slot, as `prices` and `slot_size`."""
        return _aligned(self.frontends * self.backends)

    @property
    def prices(self) -> int:
        return self.delays + _aligned(8 * self.frontends * self.backends)

    @property
    def slot_size(self) -> int:
        return self.prices + _aligned(8 * self.tables * self.backends * self.columns)

    @property
    def size(self) -> int:
        return self.first_slot + 2 * self.slot_size

    def packed(self) -> bytes:
        return _SHAPE.pack(
            self.size,
            self.identity,
            self.frontends,
            self.backends,
            self.tables,
            self.columns,
            self.stale_after,
            self.names_size,
        )

    def slot(self, mapped: mmap.mmap, number: int) -> _Slot:
        start = self.first_slot + number * self.slot_size
        edges, ends = self.frontends * self.backends, (self.frontends, self.backends)
        shape = (self.tables, self.backends, self.columns)
        return _Slot(
            np.frombuffer(mapped, np.uint8, edges, start).reshape(ends),
            np.frombuffer(mapped, np.float64, edges, start + self.delays).reshape(ends),
            np.frombuffer(mapped, np.float64, math.prod(shape), start + self.prices).reshape(shape),
        )

    def names(self, mapped: mmap.mmap) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
        """Frontends, and backends with their addresses."""
        words = iter(mapped[_NAMES : _NAMES + self.names_size].decode().split("\0"))
        frontends = tuple(next(words) for _ in range(self.frontends))
        return frontends, {
            next(words): tuple(iter(words.__next__, "")) for _ in range(self.backends)
        }

    @classmethod
    def of(cls, path: Path, mapped: mmap.mmap) -> Self:
        """Read, and refuse what is no whole table of this version."""
        if mapped[: len(MAGIC)] != MAGIC:
            raise UsageError(f"{path}: no price table; give the path of one")
        if len(mapped) < _NAMES:
            raise _cut_short(path, len(mapped), _NAMES)
        _, version, crc = _PREFIX.unpack_from(mapped)
        if version != VERSION:
            raise UsageError(
                f"{path}: a price table of version {version}, and this is version {VERSION}; "
                "use one version of isocline for both"
            )
        size, identity, frontends, backends, tables, columns, stale, names = _SHAPE.unpack_from(
            mapped, _PREFIX.size
        )
        layout = cls(frontends, backends, tables, columns, stale, names, identity)
        if len(mapped) != size:
            raise _cut_short(path, len(mapped), size)
        if size != layout.size or crc != _checksum(mapped[_PREFIX.size : _NAMES + names]):
            raise UsageError(f"{path}: the price table is damaged; let it be made anew")
        return layout


def _barrier() -> None:
    """Keep stores in order, on machines that do not by themselves, as ARM.

    A lock let go and taken again is the one barrier that Python has.
    """
    lock = threading.Lock()
    for _ in range(2):
        with lock:
            pass


def _checksum(described: bytes) -> int:
    """CRC-32 of the fields that never change, and of the names: `described` begins at byte 16."""
    shape, start = described[: _SHAPE.size], _NAMES - _PREFIX.size
    return zlib.crc32(described[start:], zlib.crc32(shape))


def _cut_short(path: Path, found: int, expected: int) -> UsageError:
    return UsageError(
        f"{path}: the price table is cut short: {found} bytes of {expected}; let it be made anew"
    )


def _packed(frontends: Sequence[str], backends: Mapping[str, str | Sequence[str]]) -> bytes:
    for what, names in (("frontends", list(frontends)), ("backends", list(backends))):
        if not names or len(set(names)) < len(names):
            raise UsageError(f"{what}: {names}; give one or more, each once")
    words = list(frontends)
    for name, given in backends.items():
        addresses = [given] if isinstance(given, str) else list(given)
        if any(not address or "\0" in address for address in addresses):
            raise UsageError(f"backend {name}: addresses {addresses}; give host:port")
        words += [name, *addresses, ""]
    for word in (*frontends, *backends):
        if not word or "\0" in word or "\n" in word:
            raise UsageError(
                f"name {word!r}: give one of at least one character, without line ends"
            )
    return b"".join(word.encode() + b"\0" for word in words)


def _drafted(path: Path, layout: _Layout, names: bytes) -> Path:
    """Write a file without prices beside the place of a table; raises OSError."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        shape = layout.packed()
        file.write(_PREFIX.pack(MAGIC, VERSION, zlib.crc32(names, zlib.crc32(shape))) + shape)
        file.seek(_NAMES)
        file.write(names)
        file.truncate(layout.size)
    return Path(temporary)


def _mark_replaced(former: mmap.mmap) -> None:
    with former:
        if len(former) >= _NAMES:
            former[8 * _REPLACED] = 1


def _former(path: Path) -> mmap.mmap | None:
    """Map the table that is to be replaced, if there is one; raises OSError.

    Raises:
        UsageError: Something else is there.
    """
    try:
        mapped = _mapped(path, writable=True)
    except (FileNotFoundError, ValueError):  # none, or an empty file
        return None
    if mapped[: len(MAGIC)] != MAGIC:
        mapped.close()
        raise UsageError(f"{path}: no price table, and is not replaced by one; give another path")
    return mapped


def _mapped(path: Path, *, writable: bool) -> mmap.mmap:
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    with path.open("r+b" if writable else "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=access)


def _checked(
    what: str, given: npt.ArrayLike | None, before: npt.NDArray[T], initial: float | None
) -> npt.NDArray[T]:
    """What to write in place of `before`, which is (T, B, K) or (F, B)."""
    if given is None:
        return before if initial is None else np.full_like(before, initial)
    try:
        kind = np.float64 if before.dtype.kind == "f" else np.bool_
        new: npt.NDArray[Any] = np.asarray(given, dtype=kind)
    except (TypeError, ValueError):
        raise UsageError(f"{what}: no table of numbers") from None
    shape = before.shape[1:] if before.ndim == 3 and before.shape[0] == 1 else before.shape
    if new.shape != shape:
        raise UsageError(f"{what}: shape {new.shape}; give {shape}")
    if np.isnan(new).any():
        raise UsageError(f"{what}: {int(np.isnan(new).sum())} entries are NaN; give numbers or inf")
    return new.astype(before.dtype).reshape(before.shape)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
