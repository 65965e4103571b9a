"""Audit of another router by its access log: learned curves, the gap to the optimum, advice.

Read `auditor` (all steps), then `reading` and `formats/` (lines in, `records` out), `frontends`
(who may use whom), `workloads` and `learned` (curves), `gap` (parts of the mean latency),
`replayed` (other policies on the same arrivals), `advice`, `narrowing` (what to log), `cautions`,
and `result`. `benchmarks.audit_error` shows what the error of a saving is made of.
"""

from isocline.audit.auditor import audit_log as audit_log
from isocline.audit.result import Audit as Audit
