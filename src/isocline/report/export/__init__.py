"""Results as files, a picture beside its data: `files` has one function for each kind of result."""
