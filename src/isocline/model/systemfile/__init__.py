"""System files: YAML in, `RoutingSystem` or `Cluster` out, by the file's `kind`.

Read `load`, then `document` and `schema` (the contents), `build` (the model) and `problems`
(errors, each with its place). `near_data/` reads the other kind. Few verbs need the rest, which is
not imported here: `serving` reads the part for `isocline serve`, `filled` adds discovered backends,
and `fleet_file` reads fleet problems, which describe machines to choose from.
"""

from isocline.model.systemfile.load import load as load
from isocline.model.systemfile.load import notes as notes
