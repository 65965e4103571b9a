"""Recorder of a scheduling policy's decisions."""

from typing import Any, final

import numba
import numpy as np
import numpy.typing as npt

from isocline.compilation.addresses import Address, by_record
from isocline.compilation.compiled import value_as
from isocline.policies.scheduling.by_address import on_kept_view, rules_by_address
from isocline.policies.scheduling.contract import (
    PICK,
    VIEW,
    ClusterSetting,
    ClusterView,
    FloatArray,
    IntArray,
    Rules,
    SchedulingPolicy,
)
from isocline.policies.scheduling.own_rules import rules_of
from isocline.policies.scheduling.state.tasks import BORN, oldest
from isocline.user_code import is_own

FACTS = 3  # columns of a decision: server, time, submission time of the task


@final
class DecisionRecorder(SchedulingPolicy):
    """Wrapper of a policy that stores its first `most` decisions after the policy's options.

    `pick` is called only for a server that starts the chosen task at once, so its answers are the
    decisions; the task is the oldest in the queue. Tasks are identified by their submission times.
    """

    def __init__(self, policy: SchedulingPolicy, most: int):
        self.policy = policy
        self._most = most
        self.name = policy.name  # type: ignore[misc]  # of one policy here, not of a class
        self.binds = policy.binds  # type: ignore[misc]
        self.waits = policy.waits  # type: ignore[misc]
        self.by_data = policy.by_data  # type: ignore[misc]

    def rules(self, setting: ClusterSetting) -> Rules:
        route, call, pick, due, changed = rules_of(self.policy, setting)
        most = self._most

        def record(server: int, view: Any, now: float, rng: Any) -> int:
            queue = pick(server, view, now, rng)
            counter = view.option.size - FACTS * most - 1
            count = int(view.option[counter])
            if queue >= 0 and count < most:
                at = counter + 1 + FACTS * count
                task = oldest(view.tasks, view.lists, queue)
                view.option[at] = server
                view.option[at + 1] = now
                view.option[at + 2] = view.tasks.time[task, BORN]
                view.option[counter] = count + 1.0
            return queue  # type: ignore[no-any-return]

        # By address, so that one compiled kernel serves all policies.
        by_address = rules_by_address(Rules(route, call, pick, due, changed))
        if is_own(pick):  # see `rules_by_address`
            return by_address._replace(pick=value_as(PICK)(record))
        plain = {"error_model": "numpy"}
        picks = on_kept_view(PICK, numba.njit(**plain)(record))
        compiled = numba.cfunc(by_record(PICK, VIEW), **plain)(picks)
        return by_address._replace(pick=Address.of(compiled, PICK, VIEW))

    def decisions(self, view: ClusterView) -> npt.NDArray[np.float64]:
        """Decisions stored so far, (n, FACTS)."""
        kept = view.option[view.option.size - FACTS * self._most :].reshape(-1, FACTS)
        return kept[: int(view.option[-1 - FACTS * self._most])]

    def option(self, setting: ClusterSetting) -> FloatArray:
        return np.append(self.policy.option(setting), np.zeros(1 + FACTS * self._most))

    # Everything else is delegated to the policy.

    def queues(self, setting: ClusterSetting) -> int:
        return self.policy.queues(setting)

    def queue_levels(self, setting: ClusterSetting) -> npt.NDArray[np.int8]:
        return self.policy.queue_levels(setting)

    def keeps_longest(self, setting: ClusterSetting) -> bool:
        return self.policy.keeps_longest(setting)

    def memory(self, setting: ClusterSetting) -> FloatArray:
        return self.policy.memory(setting)

    def winner(self, setting: ClusterSetting) -> IntArray:
        return self.policy.winner(setting)

    @property
    def counts_service(self) -> bool:
        return self.policy.counts_service
