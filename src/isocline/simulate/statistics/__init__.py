"""What may be said of a set of replications: intervals, warm-up, stability, control variates."""
