"""Health checks and load polls: `monitor` runs them, `probe` makes one request."""

from isocline.gateway.health_checks.monitor import HealthEvents as HealthEvents
from isocline.gateway.health_checks.monitor import Monitor as Monitor
from isocline.gateway.health_checks.results import Record as Record
from isocline.gateway.health_checks.rules import Checks as Checks
from isocline.gateway.health_checks.rules import Poll as Poll
from isocline.model.serving_settings import HealthCheck as HealthCheck
