"""Formats of access logs: nginx, HAProxy, Envoy, Isocline, and tables with named columns.

A `Dialect` knows the names that a router gives to fields and makes an exchange of their values; the
values come from a line by a template, from a JSON object, or from a row of CSV. `recognise` finds
out by the content of a file how it is written.
"""
