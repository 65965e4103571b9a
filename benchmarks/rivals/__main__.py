"""One run of one rival, alone in a process: `python -m benchmarks.rivals in_simpy measure 1000 1`.

Alone, because cimba changes how numba resolves types, and because Python's garbage collector is
slower beside large arrays and many modules.
"""

import importlib
import json
import sys
from dataclasses import asdict

module, function, jobs, seed = sys.argv[1:]
measure = getattr(importlib.import_module(f"benchmarks.rivals.{module}"), function)
json.dump(asdict(measure(int(jobs), int(seed))), sys.stdout)
