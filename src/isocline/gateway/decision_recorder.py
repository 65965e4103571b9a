"""Recorder of a routing policy's decisions."""

from typing import Any, final

import numba
import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import value_as
from isocline.policies.routing.contract import CHOOSE, FloatArray, RoutingPolicy, Setting, View
from isocline.policies.wrapped import Wrapped
from isocline.user_code import is_own


@final
class DecisionRecorder(Wrapped):
    """Wrapper of a policy that keeps its first `most` decisions behind the policy's memory.

    Its memory (E, M) gets rows: one that counts them, then as many as hold their edges.
    """

    def __init__(self, policy: RoutingPolicy, most: int):
        self.policy = policy
        self._most = most
        self._rows = 0  # of the policy's own memory

    @property
    def name(self) -> str:  # type: ignore[override]  # of one policy here, not of a class
        return self.policy.name

    def memory(self, setting: Setting) -> FloatArray:
        own = super().memory(setting)
        self._rows = own.shape[0]
        width = max(own.shape[1], 1)
        kept = np.zeros((own.shape[0] + 1 + -(-self._most // width), width))
        kept[: own.shape[0], : own.shape[1]] = own
        return kept

    def functions(self) -> tuple[Any, Any]:
        choose, observe = super().functions()
        most = self._most

        def note(candidates: Any, view: Any, now: float, rng: Any) -> int:
            edge = choose(candidates, view, now, rng)
            height, width = view.memory.shape
            counter = height - 1 - (most + width - 1) // width
            count = int(view.memory[counter, 0])
            if count < most:
                view.memory[counter + 1 + count // width, count % width] = edge
                view.memory[counter, 0] = count + 1.0
            return edge  # type: ignore[no-any-return]

        if is_own(choose):  # inside the kernel: numba swallows what is raised behind an address
            return value_as(CHOOSE)(note), observe
        # By address, as a user's own policy: the kernel for those is compiled already.
        return numba.cfunc(CHOOSE, error_model="numpy")(note), observe

    def edges(self, view: View) -> npt.NDArray[np.int64]:
        """Edges of the decisions so far."""
        count = int(view.memory[self._rows, 0])
        return view.memory[self._rows + 1 :].ravel()[:count].astype(np.int64)
