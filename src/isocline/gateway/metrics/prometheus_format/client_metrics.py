"""Metrics of API keys and of tenants; docs/metrics.md has their meaning."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from isocline.gateway.metrics.prometheus_format.families import counter, gauge
from isocline.gateway.metrics.snapshot import Snapshot


def of_keys(seen: Snapshot) -> Iterator[Metric]:
    """Families of API keys, by their names."""
    yield counter(
        "isocline_key_requests",
        "Requests that have ended, by the status that the client had.",
        ("key", "code"),
        (((key, str(code)), n) for key, it in seen.keys.items() for code, n in it.codes.items()),
    )
    yield counter(
        "isocline_key_limited",
        "Requests that exceeded a limit of their key, and got 429.",
        ("key", "limit"),
        (((key, limit), n) for key, it in seen.keys.items() for limit, n in it.limited.items()),
    )
    yield counter(
        "isocline_key_tokens",
        "Tokens of prompts and of outputs, where responses are read for them.",
        ("key", "kind"),
        (
            ((key, kind), n)
            for key, it in seen.keys.items()
            for kind, n in (("prompt", it.prompt_tokens), ("output", it.output_tokens))
        ),
    )


def of_tenants(seen: Snapshot) -> Iterator[Metric]:
    """Families of tenants, by their names."""
    yield counter(
        "isocline_tenant_served",
        "Requests with a whole response and a status below 400.",
        ("tenant",),
        (((name,), it.served) for name, it in seen.tenants.items()),
    )
    yield counter(
        "isocline_tenant_work",
        "Work of the requests sent, in mean requests: what shares are of.",
        ("tenant",),
        (((name,), it.work) for name, it in seen.tenants.items()),
    )
    for name, text in (
        ("waiting", "Requests that are held now."),
        ("weight", "Weight of its share."),
    ):
        rows = (((it,), getattr(tenant, name)) for it, tenant in seen.tenants.items())
        yield gauge(f"isocline_tenant_{name}", text, ("tenant",), rows)
