"""Parts of an asyncio event loop: the `clock` that live parts are given, its `alarm`, a `listener`.

The clock is an argument wherever time is read, so that tests run on the time of a simulated loop.
"""
