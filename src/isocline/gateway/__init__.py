"""The live router (`isocline serve`): a core that decides, and a data plane that acts.

Read `core/` (decisions without I/O or clock), then `proxy/` (connections and bytes, with the
grammar of HTTP in `http/`), then `serve/` (processes, reload, stop). `health_checks/` and
`load_reports/` tell the core about backends, and `metrics/` observes it.
"""
