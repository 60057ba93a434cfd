"""Stop a function of a learner that never ends, without processes and without signals.

Signals work in the main thread alone and not on every platform.  Here a second thread waits, and
when the time is over it asks the interpreter to raise in the first one.  That reaches every loop in
Python; a single long call into C, such as ``time.sleep(60)``, is interrupted when it returns.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, RLock, Thread, get_ident
from typing import TypeVar

T = TypeVar("T")


class TimeOver(BaseException):
    """The time is over.  Not an ``Exception``, so that ``except Exception`` does not stop it."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return ``work()``, or raise ``TimeOver`` from inside it once so many seconds are over.

    Nothing is raised after this function has ended.  Where no thread can be started, as in a
    browser, there is no limit.

    >>> within(5.0, lambda: 3)
    3
    """
    here, ended = get_ident(), False
    turn, gate = RLock(), Lock()
    gate.acquire()

    def wait_and_raise() -> None:
        pause = seconds
        while not gate.acquire(timeout=pause):
            with turn:
                if not ended:
                    _raise_in(here, TimeOver)
            pause = 0.5  # again, because a bare `except:` in a loop swallows the first

    with suppress(RuntimeError):
        Thread(target=wait_and_raise, daemon=True).start()
    try:
        return work()
    finally:
        # An exception may be on its way to any of these lines.  Each of them may run twice.
        stopped = False
        while not stopped:
            try:
                with turn:
                    ended = True
                _raise_in(here, None)
                if gate.locked():
                    gate.release()
                stopped = True
            except (TimeOver, KeyboardInterrupt):
                continue


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise in a thread at its next step in Python; None takes back what is still on its way."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
