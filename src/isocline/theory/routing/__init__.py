"""Theory of routing systems (GMSR paper): optimum, fluid model and convergence."""
