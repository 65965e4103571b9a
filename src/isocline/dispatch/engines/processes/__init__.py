"""Worker processes of this machine as nodes."""

from isocline.dispatch.engines.processes.engine import ProcessEngine

__all__ = ["ProcessEngine"]
