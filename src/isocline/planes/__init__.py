"""Data planes other than the router's own: the same decisions, in proxies that others wrote."""
