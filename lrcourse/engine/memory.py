"""Memory that tensors give back and take again in every update."""

from __future__ import annotations

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
KEPT = 2**30


@cache
def keep_memory() -> None:
    """Make glibc keep freed memory for the tensors to come, from now on and for all of Python.

    By default it returns large freed blocks to the system, and the next tensor of that size pays
    for a fault on every page: two fifths of the time of a small convolutional network on the CPU.
    The price: the process may hold what its largest moment needed, up to 1 GB at the end of its
    memory and more below blocks still in use.  Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, KEPT)
