"""Engine on worker processes of this machine.

Read `engine` and `supervisor` (in this process), `worker_handle` and `protocol` (the connection),
then `worker` (the other process) and its chunks: `chunk_reader`, `chunk_server`, `directory_store`.
"""

from isocline.dispatch.engines.processes.engine import ProcessEngine

__all__ = ["ProcessEngine"]
