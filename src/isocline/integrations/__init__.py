"""Routers and schedulers of other systems that decide by this project's policies.

`ray_serve` is the request router of a Ray Serve deployment. `replica_router` decides for it, and
knows nothing of Ray; `router_settings` and `call_prompts` read what a deployment says. `dask` lets
a Dask scheduler place the tasks of unchanged programs by the scheduling policies, and `ray`
places Ray's own tasks near their data.
"""

__all__: list[str] = []
