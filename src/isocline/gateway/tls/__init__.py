"""TLS of listeners: contexts, and problems of certificate and key files in words."""
