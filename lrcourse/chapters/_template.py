"""What a new chapter begins with: one exercise, and the mistake that learners make in it."""

from __future__ import annotations

from lrcourse.exercises.checking import exercise


@exercise(
    cases=[
        {"lr": 1.0, "t": 0, "every": 10},
        {"lr": 0.3, "t": 9, "every": 10},
        {"lr": 0.3, "t": 25, "every": 10},
    ]
)
def halved(lr: float, t: int, every: int) -> float:
    """The rate of update t when it is halved after every so many updates.

    >>> halved(lr=0.8, t=20, every=10)
    0.2
    """
    return float(lr * 0.5 ** (t // every))


@halved.mistake("That rate falls a little at every update. It should stay, and then fall by half.")
def _at_every_update(lr: float, t: int, every: int) -> float:
    return float(lr * 0.5 ** (t / every))
