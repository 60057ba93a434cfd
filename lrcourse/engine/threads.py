"""How many threads a training takes.

Threads that share a loop wait for each other by spinning.  Where a core is not really free, the one
that spins keeps the one that works from running: two torch threads on one core train small networks
20 to 60 times as slowly as one.  Here the cores that the process may use are counted, and where
they are several it is measured whether they help.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

SPINS = "2000"  # some 20 to 100 microseconds; libgomp's own default is 300,000
KEPT_SECONDS = 10.0  # for so long a measurement holds
ROUNDS, MOST_SECONDS = 5, 0.03
CGROUPS = Path("/sys/fs/cgroup")

_measured: dict[int, tuple[float, int]] = {}


def bound_spinning() -> None:
    """Let waiting threads sleep soon, unless the user has set how they wait.

    It works before torch is first loaded, with the OpenMP that PyTorch brings on Linux.
    """
    chosen = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if "torch" not in sys.modules and not chosen:
        os.environ["GOMP_SPINCOUNT"] = SPINS


def cores() -> int:
    """Return how many cores this process may use: its affinity, and its container's quota.

    Returns
    -------
    int
        At least 1.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, int(min(count, _quota())))


def _quota(root: Path = CGROUPS, process: Path = Path("/proc/self/cgroup")) -> float:
    """Return the processor time a second that control groups allow; infinity without limit."""
    try:
        groups = [line.split(":", 2) for line in process.read_text().splitlines()]
    except OSError:
        return float("inf")
    allowed = [float("inf")]
    for _, controllers, own in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        here = top / own.strip("/")
        for folder in (here, *here.parents):
            allowed.append(_limit(folder))
            if folder == top:
                break
    return min(allowed)


def _limit(folder: Path) -> float:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            text = " ".join((folder / name).read_text() for name in names)
            quota, period = map(float, text.split())
        except (OSError, ValueError):  # no such file, or the word max
            continue
        if quota > 0:
            return quota / period
    return float("inf")


@contextmanager
def fitting() -> Iterator[None]:
    """Train within the block on one thread, where several are no faster; then give them back.

    The number of threads is never raised.

    Examples
    --------
    >>> import torch
    >>> before = torch.get_num_threads()
    >>> with fitting():
    ...     assert torch.get_num_threads() in (1, before)
    >>> torch.get_num_threads() == before
    True
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(_helpful(before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _helpful(threads: int) -> int:
    """Return `threads`, fewer where there are fewer cores, or 1 where more are no faster."""
    threads = min(threads, cores())
    if threads == 1:
        return 1
    when, chosen = _measured.get(threads, (-KEPT_SECONDS, 1))
    if time.monotonic() - when > KEPT_SECONDS:
        chosen = threads if _are_faster(threads) else 1
        _measured[threads] = time.monotonic(), chosen
    return chosen


def _are_faster(threads: int) -> bool:
    """Measure for a few milliseconds whether so many threads beat one at a layer of a sweep."""
    import torch

    before = torch.get_num_threads()
    x, w, out = torch.ones(4096, 64), torch.ones(64, 64), torch.empty(4096, 64)

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        began = time.perf_counter()
        torch.relu_(torch.mm(x, w, out=out))
        return time.perf_counter() - began

    try:
        seconds(1), seconds(threads)  # starts the threads
        began, one, many = time.perf_counter(), list[float](), list[float]()
        while len(one) < ROUNDS:
            one.append(seconds(1))
            many.append(seconds(threads))
            if time.perf_counter() - began > MOST_SECONDS:
                return False  # a core is not free
        return median(many) < 0.9 * median(one)
    finally:
        torch.set_num_threads(before)
