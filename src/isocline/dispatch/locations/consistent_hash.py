"""Holders by consistent hashing: caches that place data by computing where it belongs.

Hashes are the same in each process and on each machine. A cache with another hash function, or
other names of its members, than these takes a function of its own.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import final

from isocline.dispatch.locations.reader import Holders, LocationReader
from isocline.errors import UsageError
from isocline.plural import counted

Hash = Callable[[bytes], int]
"""Function from a key to a whole number, 0 or more and below 2^64."""

_BITS = 64
_VIRTUAL = 128  # points of a node: shares of the ring then differ by 1 / sqrt(128), some 9 %


def blake2(key: bytes) -> int:
    """First 64 bits of a key's BLAKE2b hash."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=_BITS // 8).digest(), "big")


@final
class Rendezvous(LocationReader):
    """Rendezvous hashing: the holders are the nodes that score highest for the chunk.

    The score of a node is the hash of its name and the chunk. A node more or less moves only what
    it gets or had. Source: Thaler and Ravishankar, IEEE/ACM Trans. Networking 6 (1998).
    """

    def __init__(
        self, nodes: Sequence[str], replicas: int = 1, *, hash_function: Hash = blake2
    ) -> None:
        """Initialise.

        Args:
            nodes: Names of the nodes, in any order.
            replicas: Holders of each chunk.
            hash_function: Hash of a node's name, a zero byte and the chunk, in UTF-8.

        Raises:
            UsageError: There are fewer nodes than replicas, or a node twice.
        """
        self.nodes = _checked("rendezvous", nodes, replicas)
        self._replicas = replicas
        self._hash = hash_function

    def __call__(self, chunk: str) -> Holders:
        key = chunk.encode(errors="surrogateescape")
        scores = [(self._hash(node.encode() + b"\0" + key), node) for node in self.nodes]
        return tuple(node for _, node in sorted(scores, reverse=True)[: self._replicas])


@final
class HashRing(LocationReader):
    """Ring hashing: the holders are the first nodes from the chunk's hash on.

    Each node has many points on the ring, called virtual nodes. Source: Karger et al., STOC 1997.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        replicas: int = 1,
        *,
        virtual_nodes: int = _VIRTUAL,
        hash_function: Hash = blake2,
    ) -> None:
        """Initialise.

        Args:
            nodes: Names of the nodes, in any order.
            replicas: Holders of each chunk.
            virtual_nodes: Points of each node.
            hash_function: Hash of a chunk, and of a point: the node's name, #, and a number.

        Raises:
            UsageError: There are fewer nodes than replicas, a node twice, or no points.
        """
        if virtual_nodes < 1:
            raise UsageError(f"ring: {virtual_nodes} virtual nodes; give 1 or more")
        self.nodes = _checked("ring", nodes, replicas)
        points = sorted(
            (hash_function(f"{node}#{number}".encode()), node)
            for node in self.nodes
            for number in range(virtual_nodes)
        )
        self._hashes = [at for at, _ in points]
        self._at = [node for _, node in points]
        self._replicas = replicas
        self._hash = hash_function

    def __call__(self, chunk: str) -> Holders:
        first = bisect_left(self._hashes, self._hash(chunk.encode(errors="surrogateescape")))
        found: dict[str, None] = {}
        for step in range(len(self._at)):
            found[self._at[(first + step) % len(self._at)]] = None
            if len(found) == self._replicas:
                break
        return tuple(found)


def _checked(kind: str, nodes: Sequence[str], replicas: int) -> list[str]:
    names = sorted(set(nodes))
    if len(names) < len(nodes):
        raise UsageError(f"{kind}: a node is named twice; name each once")
    if not 1 <= replicas <= len(names):
        raise UsageError(
            f"{kind}: {counted(replicas, 'replica')} on {counted(len(names), 'node')}; give 1 to "
            "as many replicas as there are nodes"
        )
    return names
