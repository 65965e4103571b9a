"""The same examples in every run: a red test must not turn green by being run again."""

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.load_profile("same")
