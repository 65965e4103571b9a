"""Cache blocks of prompts: equal pieces of tokens, which requests with the same beginning share.

A block's hash is of its tokens and of all before them, as in vLLM's prefix caching: two prompts
have a block in common only where they have all blocks before it in common, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from isocline.errors import TraceError
from isocline.record import brief

IndexArray = npt.NDArray[np.int64]
IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


@final
@dataclass(frozen=True, eq=False)
class PromptBlocks:
    """Blocks of n prompts, each in the order of its tokens: ids[first[i] : first[i + 1]]."""

    __repr__ = brief

    first: IndexArray  # (n + 1,)
    ids: IntArray  # (k,) numbers of distinct blocks, from 0 in order of appearance

    @classmethod
    def of(cls, prompts: Iterable[Iterable[int | str]]) -> Self:
        """From the hashes of each prompt's blocks."""
        numbers: dict[int | str, int] = {}
        ids: list[int] = []
        first = [0]
        for hashes in prompts:
            ids += [numbers.setdefault(one, len(numbers)) for one in hashes]
            first.append(len(ids))
        return cls(np.array(first, np.int64), np.array(ids, np.int32))

    def __len__(self) -> int:
        """Number of prompts."""
        return self.first.size - 1

    @property
    def counts(self) -> IndexArray:
        """(n,) blocks of each prompt."""
        return np.diff(self.first)

    @property
    def distinct(self) -> int:
        """Number of distinct blocks."""
        return int(self.ids.max(initial=-1)) + 1

    def taken(self, order: IndexArray) -> Self:
        """The same prompts in another order."""
        counts = self.counts[order]
        first = np.concatenate(([0], np.cumsum(counts)))
        places = np.repeat(self.first[:-1][order] - first[:-1], counts) + np.arange(first[-1])
        return self.__class__(first.astype(np.int64), self.ids[places])

    def leading(self, which: BoolArray) -> IndexArray:
        """(n,) blocks at the beginning of each prompt for which `which`, (k,), holds."""
        # The place of the next block at or after each one for which it does not hold.
        ends = np.where(which, which.size, np.arange(which.size))
        ends = np.append(np.minimum.accumulate(ends[::-1])[::-1], which.size)
        return np.asarray(np.minimum(ends[self.first[:-1]], self.first[1:]) - self.first[:-1])

    @property
    def seen(self) -> BoolArray:
        """(k,) whether each block was one of an earlier prompt."""
        came = np.full(self.distinct, self.ids.size)
        np.minimum.at(came, self.ids, np.arange(self.ids.size))
        owner = np.repeat(np.arange(len(self)), self.counts)
        return np.asarray(owner[came[self.ids]] < owner)


def blocks_from(
    values: Sequence[Any] | npt.NDArray[Any], where: str, rows: IndexArray, name: str
) -> PromptBlocks:
    """Read a column of lists of hashes, whole numbers or text; in a CSV they are text with spaces.

    Args:
        values: (n,) the column.
        where: The file, for messages.
        rows: (n,) number of each request's row.
        name: Of the column.

    Raises:
        TraceError: A value is no such list.
    """
    return PromptBlocks.of(
        _hashes(value, f"{where}:{row}: {name}") for value, row in zip(values, rows, strict=True)
    )


def _hashes(value: Any, label: str) -> list[int | str]:
    if value is None:  # a request that tells none shares none
        return []
    if isinstance(value, str):  # "[1, 2]" is how data frames write a list to a CSV
        return list(value.strip().removeprefix("[").removesuffix("]").replace(",", " ").split())
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise TraceError(
            f"{label} is {value!r:.40}; give a list of the hashes of the prompt's blocks"
        )
    for one in value:
        if isinstance(one, bool) or not isinstance(one, int | str | np.integer):
            raise TraceError(f"{label} holds {one!r:.40}; give hashes as whole numbers or text")
    return list(value)
