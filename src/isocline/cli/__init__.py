"""The command line. Every module here that does not begin with an underscore is a verb.

A verb parses, calls one library function and prints one record. Heavy imports wait inside it, so
that `isocline --help` starts at once. Begin with `_options`: options are declared there in groups,
each with what it applies to, and what does not apply is refused there.
"""

from isocline.cli._group import main as main
