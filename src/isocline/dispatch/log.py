"""Logger of a scheduler: what users should know and no exception says."""

import logging

LOG = logging.getLogger("isocline.dispatch")
