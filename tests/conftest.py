"""The same examples in every run: a red test must not turn green by being run again."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.load_profile("same")


@pytest.fixture(autouse=True)
def _own_garbage() -> Iterator[None]:
    """A socket or pipe that a test leaves open is found at its end, not during a later test.

    Only what was made since the test began is looked at: that takes milliseconds, not tenths of a
    second.
    """
    gc.freeze()
    yield
    gc.collect()
    gc.unfreeze()
