"""The models that backends have loaded, as their `/v1/models` says, and the answer for clients."""

from isocline.gateway.models.asking import ModelDirectory
from isocline.gateway.models.catalogue import ModelListing

__all__ = ["ModelDirectory", "ModelListing"]
