"""The command line. Every module here that does not begin with an underscore is a verb.

A verb parses, calls one library function and prints one record. Heavy imports wait inside it, so
that `isocline --help` starts at once.
"""

from isocline.cli._group import main as main
