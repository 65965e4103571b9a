"""Export of results as files, pictures beside their data: `files` has a function per kind."""
