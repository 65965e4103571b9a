"""Reading and writing of the file of learned curves by `isocline serve`."""

import asyncio
from collections.abc import Sequence
from typing import final

from isocline.errors import IsoclineError, SystemFileError
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.learned_curves import LearnedCurves, read_learned, write_learned
from isocline.gateway.serve.learning import combined
from isocline.gateway.serve.log import LOG
from isocline.structured_log import event


def known_curves(serving: Serving) -> LearnedCurves | None:
    """Read the file; None if there is none.

    Raises:
        SystemFileError: The file is damaged, or its rates are in another unit.
    """
    if serving.learning is None or serving.learning.file is None:
        return None
    file, unit = serving.learning.file, serving.learning.unit
    known = read_learned(file)
    if known is not None and known.unit != unit:
        raise SystemFileError(
            f"{file}: its curves were learned with work: {known.unit}, but serve.learn.work is "
            f"{unit}; move the file away to start learning afresh, or set work: {known.unit}"
        )
    return known


@final
class LearnedFile:
    """Writer of the file; logs a failure once, and raises nothing."""

    def __init__(self) -> None:
        self._failing = False

    async def write(self, serving: Serving, parts: Sequence[LearnedCurves]) -> None:
        """Replace the file with the combined curves of the workers."""
        if serving.learning is None or serving.learning.file is None or not parts:
            return
        try:
            # In a thread, as waiting for the disk and fitting curves would delay requests.
            await asyncio.to_thread(_write, serving, parts)
            self._failing = False
        except IsoclineError as error:
            if not self._failing:
                LOG.error("%s", error, extra=event("learned_curves.failed"))
            self._failing = True


def _write(serving: Serving, parts: Sequence[LearnedCurves]) -> None:
    learned = combined(serving, parts)
    assert serving.learning is not None
    assert serving.learning.file is not None
    if learned is not None:
        write_learned(serving.learning.file, learned)
