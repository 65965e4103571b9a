"""A scheduling policy of one's own: a local server by lot, and idle servers help the longest queue.

isocline simulate examples/near_data.yaml --policy examples.my_scheduler:RandomThenHelp
"""

from dataclasses import dataclass

from isocline import SchedulingPolicy
from isocline.policies.scheduling import local_first, random_local


@dataclass(frozen=True)
class RandomThenHelp(SchedulingPolicy):
    """Local tasks first, without comparing queues when a task arrives."""

    name = "random_then_help"

    def rules(self, setting):
        """Those of `local_first`, but for the one that says where an arriving task goes."""
        known = local_first.LocalFirst().rules(setting)
        return known._replace(route=random_local.random_local_server)

    def option(self, setting):
        """The thresholds that the rules of `local_first` read."""
        return local_first.LocalFirst().option(setting)

    def keeps_longest(self, setting):  # noqa: ARG002
        """Those rules look for the longest queue."""
        return True
