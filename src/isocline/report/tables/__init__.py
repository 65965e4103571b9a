"""Results as tables in a terminal, one module for each kind of result."""
