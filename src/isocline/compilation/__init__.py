"""Compilation of kernels by numba: how functions are compiled, kept on disk, or interpreted.

Read `compiled` (decorators), `interpretable` (for small problems), then `kernel_cache`,
`kernel_locks` and `cache_directory`; `compiler_pages` is for processes that
run long. Other packages use the first two.
"""
