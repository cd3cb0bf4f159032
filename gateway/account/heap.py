"""Give memory that was freed back to the system. glibc keeps what SQLite frees: 500 KB for an account that was busy.

Rule 1: soon after something was let go of, once for all that is let go of meanwhile, and not on the loop's thread.
"""

from __future__ import annotations

import asyncio
import ctypes
import time

TRIM_AFTER_S = 5.0  # it walks the free lists: some milliseconds

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # None: another C library, which may do so by itself
_due_s = 0.0


def trim_soon() -> None:
    """Do it in a while, unless that is to be done already."""
    global _due_s
    now = time.monotonic()
    if _trim is not None and now >= _due_s:
        _due_s = now + TRIM_AFTER_S
        loop = asyncio.get_running_loop()
        loop.call_later(TRIM_AFTER_S, loop.run_in_executor, None, _trim, 0)
