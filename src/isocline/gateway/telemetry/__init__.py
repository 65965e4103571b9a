"""Traces and metrics for OpenTelemetry, by OTLP over HTTP.

Read `telemetry` first: the observer of finished requests. `spans` and `gen_ai_metrics` turn these
into OTLP messages, `exporter` sends the messages in the background, `environment` reads the
settings. docs/tracing.md lists names and meanings. All except `environment` need the extra
`telemetry`.
"""
