"""Live page of a run: progress, nodes, who helps whom, queues, a timeline, events and explanation.

`observer` copies the run's state once a second, in the event loop's thread. `frames` computes the
figures of an interval from two successive snapshots, and `progress` estimates the time left; both
are free of I/O and clocks. `page` owns thread and listener, and alone imports aiohttp. Feed,
history and HTTP routes are shared by all live pages, `isocline.pages.live`.
"""
