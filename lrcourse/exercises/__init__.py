"""Self-checks for the exercises, and quizzes that need no kernel.

A chapter asks for a small function.  :func:`check` runs it beside the truth on several inputs and
answers in words: an invitation while it is unfinished, a hint that names what differs when it is
wrong.  It never raises because of what a learner wrote.  The exercises of a chapter are declared
with :func:`exercise` in ``lrcourse/chapters/NAME.py``; :func:`quiz` asks multiple-choice questions.
"""

from __future__ import annotations

from lrcourse.exercises.checking import Exercise, Result, check, exercise
from lrcourse.exercises.quiz import quiz

__all__ = ["Exercise", "Result", "check", "exercise", "quiz"]
