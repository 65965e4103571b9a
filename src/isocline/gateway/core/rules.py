"""Rules of the core: holding, ejection, retries, refusals; a system file gives them (`serve`)."""

from isocline.model.serving_settings import (
    CHANCE,
    EjectionRule,
    HoldingRule,
    RefusalRule,
    RetryRule,
    Rules,
)

__all__ = ["CHANCE", "EjectionRule", "HoldingRule", "RefusalRule", "RetryRule", "Rules"]
