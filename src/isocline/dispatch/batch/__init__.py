"""Jobs in files: a function of each chunk in Python, or a command for each in YAML.

Workers import parts of this package, so that nothing is imported here.
"""
