"""Asks backends how they are: active health checks, and polls of their metrics."""

from isocline.gateway.watch.checks import Checks as Checks
from isocline.gateway.watch.checks import HealthCheck as HealthCheck
from isocline.gateway.watch.checks import Poll as Poll
from isocline.gateway.watch.records import Record as Record
from isocline.gateway.watch.watch import Teller as Teller
from isocline.gateway.watch.watch import Watch as Watch
