"""System files: YAML in, `RoutingSystem` or `Cluster` out, by the file's `kind`.

For a bad file one message says where.
"""

from isocline.model.systemfile.load import load as load
from isocline.model.systemfile.load import notes as notes
