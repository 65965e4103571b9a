"""The models that backends have loaded, as their `/v1/models` says, and the answer for clients."""

from isocline.gateway.models.catalogue import ModelListing
from isocline.gateway.models.directory import ModelDirectory

__all__ = ["ModelDirectory", "ModelListing"]
