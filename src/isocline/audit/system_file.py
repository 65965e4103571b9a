"""System file with the learned curves, for `isocline plan`, `simulate` and `serve`."""

import json
from collections.abc import Iterator

from isocline.audit.result import Audit
from isocline.model.curves import Curve, TableCurve

_DIGITS = 6  # of a rate, so that rounding leaves the curve concave
# Workloads of the points: one by one at first, then a fourth more each.
_WORKLOADS = [float(n) for n in (*range(1, 9), *(round(10 * 1.25**i) for i in range(60)))]
_NEARLY, _FAR = 0.998, 16  # of the peak, and times what was seen: where the points end


def system_file(found: Audit) -> str:
    """YAML of the system: curves as they were learned, rates as they were measured.

    Frontends of paths or hosts get the rules by which `isocline serve` tells them apart.
    """
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Audit) -> Iterator[str]:
    log = found.log
    yield f"# Learned by isocline audit from {log.served:,} requests in {log.seconds:,.0f} s."
    yield "# Rates are in jobs/s; points are [jobs at the backend, jobs/s]."
    if len(found.frontends) > 1 and any(_match(it.origins[0]) for it in found.frontends):
        yield "# Paths in `match` are those that clients sent; Isocline passes them on as they are."
        yield "# Where your router strips or rewrites them (nginx: a proxy_pass with a path), let"
        yield "# the backends take them whole, or rewrite them before Isocline."
    yield "kind: routing"
    yield f"name: {json.dumps(found.system.name)}"
    yield "backends:"
    for backend in found.system.backends:
        points = ", ".join(
            f"[{n:.6g}, {rate:.{_DIGITS}g}]"
            for n, rate in _points(backend.curve, found.known[backend.name].seen)
        )
        url = f"\n    url: {json.dumps(backend.url)}" if backend.url else ""
        yield f"  - name: {json.dumps(backend.name)}{url}"
        yield f"    curve: {{type: table, points: [{points}]}}"
    yield "frontends:"
    several = len(found.frontends) > 1
    for frontend in found.frontends:
        listed = ", ".join(json.dumps(name) for name in frontend.backends)
        yield f"  - name: {json.dumps(frontend.name)}"
        yield f"    rate: {frontend.rate:.6g}"
        yield f"    backends: [{listed}]"
        match = _match(frontend.origins[0]) if several and len(frontend.origins) == 1 else ""
        if match:
            yield f"    match: {match}"
        elif several:
            yield f"    # requests of: {json.dumps(', '.join(frontend.origins[:8]))}"


def _points(curve: Curve, seen: int) -> list[tuple[float, float]]:
    """Points of a curve up to its peak, or far beyond what was seen, that lie on a concave one."""
    peak, found = curve.supremum, [(0.0, 0.0)]
    for n in _WORKLOADS:
        rate = float(curve.rate(n))
        found.append((n, float(f"{rate:.{_DIGITS}g}")))
        if n >= seen and (rate >= _NEARLY * peak or n >= _FAR * seen):
            break
    return [point for point in TableCurve(tuple(found[1:])).kept if point[0] > 0]


def _match(origin: str) -> str:
    """Rule of a frontend whose requests have one host and path; "" where it has a name alone."""
    if "/" not in origin or " " in origin:
        return ""
    host, _, path = origin.partition("/")
    parts = [f"path: {json.dumps('/' + path)}"] if path else []
    if host:
        parts.insert(0, f"host: {json.dumps(host.rpartition(':')[0] or host)}")
    return f"{{{', '.join(parts)}}}" if parts else ""
