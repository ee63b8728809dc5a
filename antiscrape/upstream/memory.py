"""What the C library does with memory that is freed, set for a process through which pictures pass.

A picture of 100 kB is read, handed on and freed. glibc gives freed memory at the end of the heap back to the
system from 128 kB on, so the next picture's pages are mapped and cleared anew: a quarter of what it costs
to pass it on. With a larger threshold they stay.
"""

from __future__ import annotations

import ctypes
from typing import Final

# mallopt(3): the parameters' numbers, and bytes.
_TRIM_THRESHOLD: Final = -1, 32 * 2**20
_TOP_PAD: Final = -2, 2**20
_MMAP_THRESHOLD: Final = -3, 4 * 2**20


def keep_memory() -> bool:
    """Keep up to 32 MB of freed memory for what comes next; return whether this C library can be told so."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl has none, nor has macOS
        return False
    settings = (_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD)
    return sum(int(mallopt(*setting)) for setting in settings) == len(settings)
