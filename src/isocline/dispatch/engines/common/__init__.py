"""Parts that several engines share: attempts, calls, chunk stores, deadlines and settings."""
