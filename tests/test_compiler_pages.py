"""Pages of the compiler: handed back, and read again when they are needed."""

import subprocess
import sys

import pytest

from isocline.compilation.compiler_pages import unchanged

SCRIPT = """
import re
import numba
from isocline.compilation.compiler_pages import release_compiler

def resident():
    maps = open("/proc/self/smaps").read()
    parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", maps, flags=re.MULTILINE)
    own = [part for part in parts if "libllvmlite" in part.partition(chr(10))[0]]
    return sum(int(re.search(r"^Rss: +([0-9]+)", part, re.MULTILINE)[1]) for part in own)

def changed():
    maps = open("/proc/self/smaps").read()
    parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", maps, flags=re.MULTILINE)
    own = [part for part in parts if "libllvmlite" in part.partition(chr(10))[0]]
    return sum(int(re.search(r"^Anonymous: +([0-9]+)", part, re.MULTILINE)[1]) for part in own)

before = resident(), changed()
release_compiler()
after = resident(), changed()
assert after[1] == before[1] > 0, (before, after)   # what is this process's own stays
assert after[0] < before[0] / 2, (before, after)
assert numba.njit(lambda x: 3 * x + 1)(2) == 7      # the compiler still works
release_compiler()
assert numba.njit(lambda x: x ** 2 - 1.5)(2.0) == 2.5
"""
MAPS = """\
1000-2000 r--p 00000000 08:01 7        /lib/a library/libllvmlite.so
Rss:                   4 kB
Anonymous:             0 kB
Swap:                  0 kB
2000-5000 r-xp 00001000 08:01 7        /lib/a library/libllvmlite.so
Anonymous:             0 kB
Swap:                  0 kB
5000-6000 r--p 00004000 08:01 7        /lib/a library/libllvmlite.so
Anonymous:             8 kB
Swap:                  0 kB
6000-7000 r--p 00005000 08:01 7        /lib/a library/libllvmlite.so
Anonymous:             0 kB
Swap:                  4 kB
7000-8000 rw-p 00006000 08:01 7        /lib/a library/libllvmlite.so
Anonymous:             0 kB
Swap:                  0 kB
8000-9000 r-xp 00000000 08:01 9        /lib/libc.so.6
Anonymous:             0 kB
9000-a000 rw-p 00000000 00:00 0
Anonymous:             4 kB
b000-c000 r-xp 00000000 08:01 7        /lib/libllvmlite.so
"""


def test_only_what_is_as_in_the_file_and_stays_so_is_handed_back() -> None:
    assert list(unchanged("libllvmlite", MAPS)) == [
        (0x1000, 0x2000),
        (0x2000, 0x5000),
        (0xB000, 0xC000),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="pages are handed back on Linux")
def test_a_compiler_whose_pages_were_handed_back_still_compiles() -> None:
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False
    )
    assert made.returncode == 0, made.stderr
