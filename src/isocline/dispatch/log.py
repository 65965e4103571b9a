"""Logger of the scheduler, for messages to users that are not exceptions."""

import logging

LOG = logging.getLogger("isocline.dispatch")
