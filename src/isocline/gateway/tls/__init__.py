"""TLS of listeners: contexts, and readable errors of certificate and key files.

`listener` has the context, `certificate_files` the errors.
"""
