"""Configuration of a cluster of Envoy whose backends the module picks."""

import os
from pathlib import Path
from typing import Any

from isocline.errors import UsageError

_TYPES = "type.googleapis.com/"
_POLICY = (
    "envoy.extensions.load_balancing_policies.dynamic_modules.v3.DynamicModulesLoadBalancerConfig"
)


def load_balancing_policy(
    library: str | os.PathLike[str], table: str | os.PathLike[str], frontend: str
) -> dict[str, Any]:
    """Value of a cluster's `load_balancing_policy`, as JSON.

    Several clusters may use one table, as one for each frontend: then the requests of all of them
    count in the workload of a backend.

    Args:
        library: Path of the module's library.
        table: Path of the price table; it may be made later.
        frontend: Name in the table.

    Raises:
        UsageError: A path or name with a line end.
    """
    return {
        "policies": [
            {
                "typed_extension_config": {
                    "name": "envoy.load_balancing_policies.dynamic_modules",
                    "typed_config": {
                        "@type": _TYPES + _POLICY,
                        "dynamic_module_config": {
                            "module": {"local": {"filename": str(Path(library).absolute())}},
                            "do_not_close": True,
                        },
                        "lb_policy_name": "isocline",
                        "lb_policy_config": {
                            "@type": _TYPES + "google.protobuf.StringValue",
                            "value": configuration_lines(table, frontend),
                        },
                    },
                }
            }
        ]
    }


def configuration_lines(table: str | os.PathLike[str], frontend: str) -> str:
    """Configuration as the module reads it; raises UsageError as `load_balancing_policy`."""
    lines = {"table": str(Path(table).absolute()), "frontend": frontend}
    for key, value in lines.items():
        if "\n" in value or "\0" in value:
            raise UsageError(f"{key} {value!r}: give one without line ends")
    return "\n".join(f"{key}={value}" for key, value in lines.items())
