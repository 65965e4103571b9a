"""System files: YAML in, `RoutingSystem` or `Cluster` out, by the file's `kind`.

Read `load`, then `document` and `schema` (the contents), `build` (the model) and `problems`
(errors, each with its place). `serving` reads the part for `isocline serve`, `filled` adds
discovered backends, `near_data/` reads the other kind; `fleet_file` reads fleet problems, which
describe machines to choose from (not imported here: few verbs need it).
"""

from isocline.model.systemfile.load import load as load
from isocline.model.systemfile.load import notes as notes
from isocline.model.systemfile.serving import Served as Served
from isocline.model.systemfile.serving import load_served as load_served
from isocline.model.systemfile.serving import read_served as read_served
from isocline.model.systemfile.serving import served as served
