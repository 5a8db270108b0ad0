"""The process's memory: how C's allocator and Python's collector treat it, and its end where none is left.

Both are set for a process that reads everything once and then keeps it. The figures are in docs/performance.md.
"""

import ctypes
import gc
import os
from contextlib import suppress
from typing import NoReturn

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""glibc's malloc.h."""
_LARGE = 128 * 1024
"""Bytes: what glibc begins with."""


def set_allocator() -> None:
    """Have all threads share one arena of the allocator, and what is large be given back, where the C library is glibc.

    Each thread would get its own, and keep what pages of lists have left there: 5 MiB at 10,000 certificates. And what
    counts as large grows with what is freed, up to 32 MiB (mallopt(3)): pages of later lists would lie between what
    stays, and of the memory between them nothing be given back.
    """
    with suppress(OSError, AttributeError):  # another C library has no such setting, nor such arenas
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGE)


def tune_gc() -> None:
    """Look for cycles after 50,000 new objects instead of 700, and at everything a hundredth as often.

    While ten thousand certificates are read, nothing becomes garbage in cycles: a fifth of that time went into looking.
    """
    gc.set_threshold(50_000, 20, 100)


def freeze_heap() -> None:
    """Leave alone, from now on, what was made until now, and give back what was only needed for that.

    Nothing of it is in cycles, and each full collection would look at all of it: 0.1 s at 10,000 certificates, in which
    no scrape is answered. As little else is left to look at, cycles are looked for more often again: asyncio leaves
    each connection behind in one, of 2 KiB, and until 50,000 objects are there 5,000 of them would be kept.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def abort_out_of_memory() -> NoReturn:
    """End the process at once, as the kernel does: no memory is left, and nothing that takes some may be tried.

    Else it would live on half blind: a thread that can't even say that it died, a server that answers nobody.
    """
    try:
        os.write(2, b"certlag-exporter: out of memory\n")
    finally:
        os._exit(1)
