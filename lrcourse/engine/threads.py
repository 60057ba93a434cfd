"""How many threads a training should take.

Two threads that share one core wait for each other by spinning, and every small operation then
costs a time slice: on a busy hub, in a container or on Binder a small network trains fifty times as
slowly as with one thread.  ``import lrcourse`` shortens the spinning where torch has not been
loaded yet; ``that_pay`` takes one thread where more do not pay at present.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

TRIES, NUMBERS = 11, 2**17
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its quota.

    >>> 1 <= cores() <= (os.cpu_count() or 1)
    True
    """
    try:
        mine = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        mine = os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text().split()
        mine = min(mine, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no cgroup, or "max"
        pass
    return max(1, mine)


@contextmanager
def that_pay() -> Iterator[int]:
    """Within the block torch takes as many threads as pay; afterwards as many as before."""
    before = torch.get_num_threads()
    chosen = min(before, cores())
    try:
        if chosen > 1 and _median_time(chosen) > 1.5 * _median_time(1):
            chosen = 1
        torch.set_num_threads(chosen)
        yield chosen
    finally:
        torch.set_num_threads(before)


def _median_time(threads: int) -> float:
    """Return the time of an operation that torch parts among so many threads."""
    torch.set_num_threads(threads)
    numbers, times = torch.zeros(NUMBERS), []
    for _ in range(TRIES):
        begin = time.perf_counter()
        numbers.add_(1)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
