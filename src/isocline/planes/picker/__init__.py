"""Endpoint picker for Kubernetes gateways: `isocline serve FILE --plane picker`.

Read `protocol` and `pick` (one request, as the messages of a stream tell of it), `bridge` (the
core's events and actions), then `picker`, `service` (gRPC) and `workers` (settings).
"""

from isocline.planes.picker.workers import crew, usable

__all__ = ["crew", "usable"]
