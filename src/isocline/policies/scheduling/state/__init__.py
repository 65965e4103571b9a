"""State that scheduling policies read and keep: queues, tasks, idle servers and fair shares."""
