"""Changes of a system in words: machines added or removed, arrival rates changed.

Read `changed`, then `written` (how changes are written), `fleet` and `cluster` (each kind).
"""

from isocline.model.changes.changed import changed as changed
from isocline.model.changes.written import Changes as Changes
from isocline.model.changes.written import changes_in as changes_in
