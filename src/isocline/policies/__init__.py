"""Who gets the next job: one policy per file, one compiled function each."""
