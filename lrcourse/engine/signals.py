"""Moments in which Ctrl-C has to wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted(forget: bool = False) -> Iterator[None]:
    """Let Ctrl-C, however often it comes, take effect only when the block has ended.

    For short steps that must not stop half-way, such as writing a file.  Threads other than the
    main one never see the signal and need no protection.  With `forget` it takes no effect at all:
    for what follows an interrupt that has been obeyed already.
    """
    old = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or old is None:
        yield
        return
    came: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
        if came and callable(old) and not forget:
            old(*came[0])
