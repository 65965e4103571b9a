"""Models that backends have loaded, by their `/v1/models`, and the list for clients.

`catalogue` merges the lists without I/O; `directory` asks the backends for them. `loader` has
models loaded and unloaded, as the core decides.
"""

from isocline.gateway.models.directory import ModelDirectory
from isocline.gateway.models.loader import ModelLoader
from isocline.model.serving_settings import ModelListing

__all__ = ["ModelDirectory", "ModelListing", "ModelLoader"]
