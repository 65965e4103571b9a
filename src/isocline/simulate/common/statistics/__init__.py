"""Statistics of replications: `intervals` (with control variates), `warm_up`, `stability`."""
