"""Logger of a scheduler, for messages to users that no exception carries."""

import logging

LOG = logging.getLogger("isocline.dispatch")
