"""Ciw: an arrival node that sends each customer straight to the shortest of three nodes.

Its usual way, a dispatching node with service time 0 and a router, takes one more event per job.
Ciw looks at every node at every event, and keeps a record per customer: neither can be turned off.
"""

import random
import time
from operator import attrgetter
from typing import Any

import ciw

from benchmarks.rivals import ARRIVALS, CHOICES, SERVERS, Measured

_SETTLING = 20.0  # mean service times, at the start and at the end


class Dispatcher(ciw.ArrivalNode):
    """JSQ(3), whatever node a customer arrives at."""

    def send_individual(self, next_node: Any, next_individual: Any) -> None:  # noqa: ARG002
        sample = random.sample(self.simulation.transitive_nodes, CHOICES)
        super().send_individual(
            min(sample, key=attrgetter("number_of_individuals")), next_individual
        )


def measure(jobs: int, seed: int) -> Measured:
    ciw.seed(seed)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(ARRIVALS)] + [None] * (SERVERS - 1),
        service_distributions=[ciw.dists.Exponential(1.0)] * SERVERS,
        number_of_servers=[1] * SERVERS,
        routing=ciw.routing.NetworkRouting([ciw.routing.Leave() for _ in range(SERVERS)]),
    )
    simulation = ciw.Simulation(network, arrival_node_class=Dispatcher)
    started = time.process_time()
    simulation.simulate_until_max_customers(jobs, method="Complete")
    seconds = time.process_time() - started
    # Customers still there have no record; those that arrived just before are not all seen.
    until = simulation.current_time - _SETTLING
    stays = [
        record.exit_date - record.arrival_date
        for record in simulation.get_all_records()
        if _SETTLING < record.arrival_date < until
    ]
    return Measured(jobs, seconds, sum(stays) / len(stays))
