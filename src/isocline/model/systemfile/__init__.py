"""System files: YAML in, `RoutingSystem` out, and for a bad file one message that says where."""

from isocline.model.systemfile.load import load as load
from isocline.model.systemfile.load import notes as notes
