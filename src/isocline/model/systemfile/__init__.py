"""System files: YAML in, `RoutingSystem` or `Cluster` out, by the file's `kind`.

For a bad file one message says where.
"""

from isocline.model.systemfile.load import load as load
from isocline.model.systemfile.load import notes as notes
from isocline.model.systemfile.serving import Served as Served
from isocline.model.systemfile.serving import load_served as load_served
