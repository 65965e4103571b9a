"""Statistics of replications: intervals, warm-up, stability, control variates."""
