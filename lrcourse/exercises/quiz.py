"""Multiple-choice questions that need no kernel, no network and no script.

The answer to a choice is in the page and CSS shows it when the choice is made, so a quiz works in a
notebook, in the built book and where scripts are turned off.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from hashlib import sha256

from lrcourse._checks import instance

_STYLE = """
.lrq{border:1px solid #8886;border-radius:.4rem;margin:1rem 0;padding:.6rem 1rem .8rem}
.lrq legend{float:left;width:100%;font-size:1rem;font-weight:600;padding:0;margin:0}
.lrq legend+div{clear:both;padding-top:.3rem}
.lrq div{margin:.5rem 0 0}.lrq label{cursor:pointer;padding:.15rem .25rem;display:inline}
.lrq input{width:1.1rem;height:1.1rem;vertical-align:-.15rem;margin:0 .35rem 0 0}
.lrq p{display:none;margin:.3rem 0 .2rem 1.6rem;padding-left:.6rem;border-left:3px solid}
.lrq input:checked~p{display:block}
.lrq p.lrq-right{border-color:#009E73}.lrq p.lrq-wrong{border-color:#D55E00}
@media print{.lrq p.lrq-right{display:block}}
"""


class Quiz:
    """One question; it shows itself as HTML, and as plain text where there is none.

    Parameters
    ----------
    question : str
        Plain text.
    choices : mapping of str to (bool, str)
        Answer → whether it is right, and why; exactly one is right.

    Raises
    ------
    ValueError
        When there are fewer than two choices, or not exactly one is right.

    Examples
    --------
    >>> Quiz("Is 1 < 2?", {"yes": (True, "By one."), "no": (False, "Count.")})
    Is 1 < 2?
      ( ) yes
      ( ) no
    """

    def __init__(self, question: str, choices: Mapping[str, tuple[bool, str]]) -> None:
        instance("question", question, str, "text")
        right = [text for text, (correct, _) in choices.items() if correct is True]
        if len(choices) < 2 or len(right) != 1:
            raise ValueError(
                "choices must have two or more answers, exactly one of them right, "
                f"had {len(choices)} with {len(right)} right"
            )
        self.question, self.choices = question, dict(choices)

    def __repr__(self) -> str:
        return "\n".join([self.question, *(f"  ( ) {text}" for text in self.choices)])

    def _repr_html_(self) -> str:
        name = "lrq-" + sha256(self.question.encode()).hexdigest()[:8]
        rows = []
        for number, (text, (correct, why)) in enumerate(self.choices.items()):
            state, word = ("right", "Yes.") if correct else ("wrong", "No.")
            key = f"{name}-{number}"
            rows.append(
                f'<div><input type="radio" name="{name}" id="{key}">'
                f'<label for="{key}">{html.escape(text)}</label>'
                f'<p class="lrq-{state}" role="status"><strong>{word}</strong> '
                f"{html.escape(why)}</p></div>"
            )
        legend = f"<legend>{html.escape(self.question)}</legend>"
        return f'<style>{_STYLE}</style><fieldset class="lrq">{legend}{"".join(rows)}</fieldset>'


def quiz(question: str, choices: Mapping[str, tuple[bool, str]]) -> Quiz:
    """Ask a question whose answers show themselves when chosen.

    Parameters
    ----------
    question : str
        Plain text.
    choices : mapping of str to (bool, str)
        Answer → whether it is right, and why; exactly one is right.

    Returns
    -------
    Quiz
        Shows itself in a notebook and in the built book.

    Raises
    ------
    ValueError
        When there are fewer than two choices, or not exactly one is right.

    Examples
    --------
    >>> quiz("Which is larger?", {"1": (False, "1 < 2."), "2": (True, "2 > 1.")})
    Which is larger?
      ( ) 1
      ( ) 2
    """
    return Quiz(question, choices)
