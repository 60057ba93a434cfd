"""Runs that are pure functions of a picklable spec, on any ``concurrent.futures.Executor``.

``completed`` yields each run's outcome as it ends.  What goes wrong in one run, be it an exception
or the death of its process, is the outcome of that run alone.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Future,
    ProcessPoolExecutor,
    wait,
)
from importlib import import_module
from typing import Any

import torch

from lrcourse.engine.signals import uninterrupted
from lrcourse.engine.threads import cores

try:  # it carries functions defined in a notebook, which pickle cannot
    dumps = import_module("cloudpickle").dumps
except ImportError:
    dumps = pickle.dumps

Outcome = tuple[int, Any]
FAILURES = (Exception, SystemExit)
NO_EXECUTOR = (
    "executor must be a concurrent.futures.Executor, a Dask Client, its scheduler's address, "
    "'serial' or a number of processes, was {!r}"
)

_function: Callable[[Any], Any] | None = None


class WorkerDied(RuntimeError):
    """The process that made this run ended without an answer."""


def _install(payload: bytes) -> None:
    """Prepare a worker process: one torch thread, Ctrl-C left to the parent, the function."""
    global _function
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _function = pickle.loads(payload)


def _end_with_parent() -> None:
    """End this process when the one that started it has gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _installed(spec: bytes) -> Any:
    assert _function is not None
    return _function(pickle.loads(spec))


def _on_one_thread(function: Callable[[Any], Any], spec: Any) -> Any:
    """Make a run in a process that others set up: equal sums need equal threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(spec)
    finally:
        torch.set_num_threads(threads)


def _itself(payload: bytes) -> bytes:
    return payload


def _call(payload: bytes, spec: bytes) -> Any:
    return _on_one_thread(pickle.loads(payload), pickle.loads(spec))


class _Processes:
    """A process pool that can be started again after a worker has died."""

    def __init__(self, payload: bytes, workers: int) -> None:
        self.payload, self.workers = payload, workers
        self.pool: ProcessPoolExecutor | None = None

    def submit(self, spec: bytes) -> Future[Any]:
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn"), _install, (self.payload,)
            )
        return self.pool.submit(_installed, spec)

    def stop(self) -> None:
        """End the workers now, whatever they are doing."""
        if self.pool is not None:
            with uninterrupted():
                workers = list((self.pool._processes or {}).values())
                self.pool.shutdown(wait=False, cancel_futures=True)
                for worker in workers:
                    worker.terminate()
                self.pool = None


def processes(number: int | None) -> int:
    """Return how many processes a number given as executor means.

    >>> processes(3)
    3
    """
    if number is None or number == -1:
        return cores()
    if number < 1:
        raise ValueError(f"executor must be at least 1 process, or -1 for one a core, was {number}")
    return number


def check_executor(executor: Any) -> None:
    """Refuse in words what is no executor, before anything is computed."""
    if executor is None or isinstance(executor, str) or callable(getattr(executor, "submit", None)):
        return
    if isinstance(executor, int) and not isinstance(executor, bool):
        processes(executor)
        return
    raise TypeError(NO_EXECUTOR.format(executor))


def completed(
    function: Callable[[Any], Any], specs: Sequence[Any], executor: Any = None
) -> Iterator[Outcome]:
    """Yield (index, result) of ``function(spec)`` for all specs, in the order in which they end.

    The result of a run that failed is its exception.

    Parameters
    ----------
    function : callable
    specs : sequence
        Both picklable; functions defined in a notebook are, where cloudpickle is installed.
    executor : optional
        None or -1 for processes on all cores that this process may use, a number of processes,
        "serial" for this process, any ``concurrent.futures.Executor``, or a Dask ``Client`` or the
        address of its scheduler.

    Yields
    ------
    index, outcome : int, Any
        `Exception` and `SystemExit` are outcomes like others.

    Raises
    ------
    TypeError, ValueError
        An executor that is none of these, or no number of processes.
    WorkerDied
        Three processes died before one run had ended.

    Examples
    --------
    >>> sorted(completed(abs, [-1, 2], "serial"))
    [(0, 1), (1, 2)]
    """
    if isinstance(executor, str) and executor == "serial":
        yield from _here(function, specs)
    elif executor is None or (isinstance(executor, int) and not isinstance(executor, bool)):
        workers = processes(executor)
        yield from _in_processes(_Processes(dumps(function), workers), specs)
    else:
        yield from _elsewhere(executor, dumps(function), specs)


def _here(function: Callable[[Any], Any], specs: Sequence[Any]) -> Iterator[Outcome]:
    for i, spec in enumerate(specs):
        try:
            outcome = function(spec)
        except FAILURES as error:
            outcome = error
        yield i, outcome


def _in_processes(pool: _Processes, specs: Sequence[Any]) -> Iterator[Outcome]:
    waiting, suspects = deque(range(len(specs))), deque[int]()
    running: dict[Future[Any], int] = {}
    answered = deaths = 0
    try:
        while waiting or suspects or running:
            # After a death all runs then under way are suspects; alone, each shows what it does.
            width, queue = (1, suspects) if suspects else (pool.workers, waiting)
            while queue and len(running) < width:
                try:
                    running[pool.submit(dumps(specs[queue[0]]))] = queue[0]
                except BrokenExecutor:  # a worker died since the last look
                    if not running:
                        pool.stop()
                        continue
                    break
                queue.popleft()
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            broken = []
            for future in done:
                i = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenExecutor:
                    broken.append(i)
                    continue
                except FAILURES as error:
                    outcome = error
                answered += 1
                yield i, outcome
            if broken:
                broken += running.values()
                running.clear()
                pool.stop()
                if len(broken) > 1:
                    suspects.extend(sorted(broken))
                    continue
                deaths += 1
                if deaths == 3 and not answered:
                    raise WorkerDied(
                        "three processes died before one run had ended; a script that starts "
                        'processes must guard its start with if __name__ == "__main__":'
                    )
                yield broken[0], WorkerDied("its process died: killed, out of memory or crashed")
    finally:
        pool.stop()


def _elsewhere(executor: Any, payload: bytes, specs: Sequence[Any]) -> Iterator[Outcome]:
    client = None
    shared: Any = payload
    if isinstance(executor, str):
        executor = client = import_module("distributed").Client(executor)
    if hasattr(executor, "get_executor"):
        # A task, not scattered data: where all workers that held it have died it is run again.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            shared = executor.submit(_itself, payload, pure=False)
        # Equal submits must not share one result; a run whose worker died is tried elsewhere.
        executor = executor.get_executor(pure=False, retries=1)
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(NO_EXECUTOR.format(executor))
    futures: dict[Future[Any], int] = {}
    lost = []
    try:
        for i, spec in enumerate(specs):
            try:
                futures[executor.submit(_call, shared, dumps(spec))] = i
            except BrokenExecutor:
                lost.append(i)
        while futures:
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                i = futures.pop(future)
                try:
                    outcome = future.result()
                except (BrokenExecutor, CancelledError):  # lost with no fault of its own
                    lost.append(i)
                    continue
                except FAILURES as error:
                    outcome = error
                yield i, outcome
    finally:
        for future in futures:
            future.cancel()
        if client is not None:
            client.close()
    if lost:  # the pool is gone; its runs are finished in processes of our own
        rest = _in_processes(_Processes(payload, cores()), [specs[i] for i in lost])
        yield from ((lost[j], outcome) for j, outcome in rest)
