"""Parts of a simulation that do not depend on its model: replications, blocks, statistics."""
