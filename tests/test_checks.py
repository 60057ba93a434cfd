"""Every check returns the plain value or says what was wrong."""

import numpy as np
import pytest
import torch

from lrcourse._checks import choice, count, flag, instance, number


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0), torch.tensor(2)]
)
def test_number_returns_a_plain_float(value):
    result = number("lr", value)
    assert result == 2.0
    assert type(result) is float


@pytest.mark.parametrize("value", [2, np.int8(2), np.uint64(2), np.array(2), torch.tensor(2)])
def test_count_returns_a_plain_int(value):
    result = count("steps", value)
    assert result == 2
    assert type(result) is int


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (float("nan"), {"low": 0}, "lr must be a finite number >= 0, was nan"),
        (float("inf"), {}, "lr must be a finite number, was inf"),
        (10**400, {}, f"lr must be a finite number, was {10**400}"),
        (-1, {"low": 0}, "lr must be a finite number >= 0, was -1"),
        (0, {"low": 0, "open_low": True}, "lr must be a finite number > 0, was 0"),
        (1.0, {"high": 1, "open_high": True}, "lr must be a finite number < 1, was 1.0"),
        (2.5, {"low": 0, "high": 1}, "lr must be a finite number >= 0 and <= 1, was 2.5"),
    ],
)
def test_number_out_of_range(value, limits, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        number("lr", value, **limits)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [True, np.True_, "0.1", None, [1.0], 1j, torch.tensor(True)])
def test_number_of_the_wrong_kind(value):
    with pytest.raises(TypeError, match="^lr must be a finite number >= 0, was "):
        number("lr", value, low=0)


def test_ends_are_included_unless_open():
    assert number("x", 0, low=0, high=0) == 0


@pytest.mark.parametrize("value", [True, 3.0, "3", None, np.float64(3), np.arange(2)])
def test_count_of_the_wrong_kind(value):
    with pytest.raises(TypeError, match="^steps must be an integer >= 0, was "):
        count("steps", value)


def test_count_too_low():
    with pytest.raises(ValueError, match="^steps must be an integer >= 1, was 0$"):
        count("steps", 0, low=1)


def test_flag():
    assert flag("nesterov", np.True_) is True
    for value in (0, 1, None, "yes"):
        with pytest.raises(TypeError, match="^nesterov must be True or False, was "):
            flag("nesterov", value)


def test_choice():
    assert choice("mode", "min", ["min", "max"]) == "min"
    with pytest.raises(ValueError, match="^mode must be 'a', 'b' or 'c', was 'd'$"):
        choice("mode", "d", iter("abc"))
    with pytest.raises(TypeError, match="^mode must be 'a', was None$"):
        choice("mode", None, ["a"])


def test_instance():
    assert instance("x", 3, int, "an integer") == 3
    with pytest.raises(TypeError, match="^x must be an integer, was 'a'$"):
        instance("x", "a", int, "an integer")
