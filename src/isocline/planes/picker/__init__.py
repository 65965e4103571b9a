"""Endpoint picker for Kubernetes gateways: `isocline serve FILE --plane picker`.

Read `protocol` and `pick` (one request, as the messages of a stream tell of it), `bridge` (the
core's events and actions), then `picker` and `service` (gRPC); `support` refuses settings that a
picker cannot follow.
"""

from isocline.planes.picker.picker import Picker
from isocline.planes.picker.support import fit

__all__ = ["Picker", "fit"]
