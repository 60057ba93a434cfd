"""Quizzes: the answers are in the page, and exactly one is right."""

import pytest

from lrcourse.exercises import quiz


def test_a_quiz_shows_each_answer_and_needs_no_script():
    page = quiz("Is 1 < 2?", {"yes": (True, "It is."), "no": (False, "Count.")})._repr_html_()
    assert page.count('type="radio"') == 2
    assert "1 &lt; 2" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    "choices",
    [{"a": (True, "")}, {"a": (True, ""), "b": (True, "")}, {"a": (False, ""), "b": (False, "")}],
)
def test_a_quiz_has_exactly_one_right_answer(choices):
    with pytest.raises(ValueError, match="exactly one of them right"):
        quiz("?", choices)
