"""Series in the Prometheus text format (version 0.0.4), found in a page at the speed of memory.

All lines but those of a series are passed over, whatever they hold.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from isocline.gateway.load_reports.numbers import ReportError, count

_Labels = tuple[tuple[str, str], ...]
_TOTAL = '""'  # the priority of the sum over all


@final
@dataclass(frozen=True)
class Series:
    """One metric, or those of its label sets that hold a label.

    **Sums.** Label sets are summed, as the engines of vLLM under `engine` or the data-parallel
    ranks of SGLang under `dp_rank`, except those that tell of the same jobs again (SGLang 0.5.23):

    - each tensor-parallel, pipeline-parallel or expert rank (any label that ends in `_rank`, but
      `dp_rank`) publishes what its whole replica holds: of those the largest counts, as one may
      be a step behind another;
    - under priority scheduling `priority=""` is the total of `priority="1"` and so on.
    """

    name: str
    label: str = ""  # as `request_type="waiting"`

    def total(self, text: str) -> float | None:
        """Sum the samples; None if there is none."""
        # By what is summed, by rank of which the largest counts, by priority.
        found: dict[_Labels, dict[_Labels, dict[str, float]]] = {}
        for labels, value in self._samples(text):
            priority = labels.pop("priority", _TOTAL)
            summed = tuple(sorted(it for it in labels.items() if not _is_replica(it[0])))
            rank = tuple(sorted(it for it in labels.items() if _is_replica(it[0])))
            values = found.setdefault(summed, {}).setdefault(rank, {})
            values[priority] = values.get(priority, 0.0) + value
        if not found:
            return None
        return sum(max(map(_of_priorities, by_rank.values())) for by_rank in found.values())

    def _samples(self, text: str) -> Iterator[tuple[dict[str, str], float]]:
        """Yield (labels with their values in quotes, value) of each sample; raises ReportError."""
        for line in self._lines(text):
            sample = _SAMPLE.fullmatch(line)
            if not sample:
                raise ReportError(f"{self.name}: a line of it is not `name{{labels}} value`")
            labels = _labels(sample[1] or "")
            if not self.label or self.label in (f"{k}={v}" for k, v in labels.items()):
                yield labels, count(self.name, sample[2])

    def _lines(self, text: str) -> Iterator[str]:
        """Yield the rest of each line that begins with the name."""
        at = text.find(self.name)
        while at >= 0:
            start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
            end = len(text) if end < 0 else end
            rest = text[at + len(self.name) : end]
            if rest[:1] in ("", " ", "\t", "\r", "{") and not text[start:at].strip(" \t"):
                yield rest
            at = text.find(self.name, end)


# Labels, in whose quotes may be anything; the value; and perhaps a time, ms.
_SAMPLE = re.compile(
    r"[ \t]*+(?:\{((?:[^\"{}]++|\"(?:[^\"\\]++|\\.)*\")*)\})?(?!\{)"
    r"[ \t]*+(\S++)(?:[ \t]++-?[0-9]++)?[ \t\r]*+"
)
_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*+)=(\"(?:[^\"\\]++|\\.)*\")")


def _labels(text: str) -> dict[str, str]:
    return dict(_LABEL.findall(text))


def _of_priorities(values: dict[str, float]) -> float:
    return values[_TOTAL] if _TOTAL in values else sum(values.values())


def _is_replica(label: str) -> bool:
    """Whether label sets that differ in this label count the same jobs."""
    return label.endswith("_rank") and label != "dp_rank"
