"""The journal: finished tasks on disk, so that a run that was cut off goes on where it stopped."""
