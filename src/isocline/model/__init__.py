"""What a system is: graph, service curves, traffic, fleet; and the files that describe one."""
