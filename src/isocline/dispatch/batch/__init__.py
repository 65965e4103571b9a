"""Batches: jobs in files, with a function of each chunk in Python or a command for each in YAML.

Read `spec` (contents of a job file), `from_python` and `from_yaml` (its two forms), then
`runner` and `result`. Workers import parts of this package, so nothing is imported here.
"""
