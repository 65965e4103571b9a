"""`isocline serve`: from a system file to a router that runs, in one process or several.

| module | |
|---|---|
| `from_file` | the file as settings, rules and checks of the gateway |
| `run` | start, reload, stop; signals |
| `worker` | what one process does |
| `crew` | several of them, kept alive |
| `learning` | curves that are learned, and their file |
"""
