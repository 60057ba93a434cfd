"""Records put together: one shape, one set of names, the same coordinates, or a failed run."""

import numpy as np
import pytest
import xarray as xr

from lrcourse.sweeps import sweep_function


def over(train, **grid):
    return sweep_function(train, executor="serial", **grid)


def test_other_coordinates_fail_like_another_shape():
    def train(n):
        return xr.Dataset({"y": ("time", [1.0, 2.0])}, {"time": [0.0, 1.0 + n]})

    with pytest.warns(UserWarning, match=r"n=1: ValueError: time must have the same coord"):
        cube = over(train, n=[0, 1, 2])
    assert cube.finished.values.tolist() == [True, False, False]
    assert cube.time.values.tolist() == [0.0, 1.0]
    assert np.isnan(cube.y.sel(n=1)).all()


@pytest.mark.parametrize(
    ("value", "kind"), [(3, float), (True, float), (2.5, float), ("text", str)]
)
def test_what_is_missing_is_nan_and_says_so(value, kind):
    def train(n):
        if n == 1:
            raise ArithmeticError("no luck")
        return {"v": value}

    with pytest.warns(UserWarning, match="1 of 2 runs are missing"):
        cube = over(train, n=[0, 1])
    if kind is str:
        assert cube.v.values.tolist() == ["text", ""]
    else:
        assert cube.v.dtype == float
        assert cube.v[0] == value
        assert np.isnan(cube.v[1])


def test_whole_numbers_stay_whole_where_none_is_missing():
    assert over(lambda n: {"v": n}, n=[1, 2]).v.dtype.kind == "i"
    assert over(lambda n: {"v": n > 1}, n=[1, 2]).v.dtype.kind == "b"


def test_a_number_alone_is_a_value():
    assert over(lambda n: n**2, n=[2, 3]).value.values.tolist() == [4, 9]


def test_a_dimension_of_the_grid_cannot_be_returned_as_well():
    for train in (lambda n: {"n": 1.0}, lambda n: {"y": ("n", [1.0])}):
        with pytest.warns(UserWarning, match="n is a dimension of the grid and cannot be returned"):
            assert not over(train, n=[1, 2]).finished.any()


def test_text_and_numbers_do_not_mix():
    with pytest.warns(UserWarning, match="v must be text in all runs or in none"):
        over(lambda n: {"v": "a" if n else 1.0}, n=[0, 1])


def test_objects_are_refused_in_words():
    with pytest.warns(UserWarning, match="v must be a number, text or an array of them"):
        over(lambda n: {"v": object()}, n=[0])


def test_dims_must_fit_the_array():
    with pytest.warns(UserWarning, match="v must have 1 dims, had a, b"):
        over(lambda n: {"v": (("a", "b"), [1.0])}, n=[0])


def test_an_error_without_a_text_is_named():
    def train(n):
        raise ArithmeticError

    with pytest.warns(UserWarning, match="n=0: ArithmeticError: no reason given"):
        over(train, n=[0])
