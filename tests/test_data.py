import numpy as np
import pytest
import torch

from lrcourse.data import Data, digits, line, mislabelled, mnist, split
from lrcourse.models import cnn, linear, mlp


def test_images_are_scaled_by_their_training_part():
    for data in (digits(), mnist()):
        assert abs(float(data.x_train.mean())) < 1e-4
        assert float(data.x_train.std()) == pytest.approx(1, abs=1e-3)
        assert float(data.x_val.mean()) != 0
        assert sorted(data.y_val.unique().tolist()) == list(range(10))


def test_no_row_is_in_both_parts_and_none_is_lost():
    rows = np.arange(40.0)[:, None]
    data = split("rows", rows, np.zeros(40), val_fraction=0.3, seed=4, scale=False)
    both = torch.cat([data.x_train, data.x_val]).ravel()
    assert len(data.x_val) == 12
    assert sorted(both.tolist()) == rows.ravel().tolist()


def test_a_seed_fixes_the_split():
    assert torch.equal(digits(seed=3).y_val, digits(seed=3).y_val)
    assert not torch.equal(digits(seed=3).y_val, digits(seed=4).y_val)


def test_the_line_has_the_curvature_of_its_inputs():
    data = line()
    assert 2 * float((data.x_train**2).mean()) == pytest.approx(68.01, abs=0.01)
    slope, intercept = np.polyfit(data.x_train.ravel().numpy(), data.y_train.ravel().numpy(), 1)
    assert slope == pytest.approx(2, abs=0.01)
    assert intercept == pytest.approx(1, abs=0.05)
    assert not torch.equal(data.y_train, data.y_val)


def test_data_moves_to_the_float_type_of_a_model():
    moved = line().to(torch.zeros(1, dtype=torch.float64))
    assert moved.x_train.dtype == moved.y_val.dtype == torch.float64
    assert digits().to(torch.zeros(1, dtype=torch.float64)).y_train.dtype == torch.int64


X, Y = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_train": Y[:3]}, "train rows must match, were 4 of x and 3 of y"),
        ({"x_val": X[:0], "y_val": Y[:0]}, "val rows must match"),
        ({"x_train": X / 0}, "x_train and y_train must be finite"),
        ({"y_val": Y.float()}, "y_val must be int64 for cross_entropy and float for mse"),
        ({"loss": "hinge"}, "loss must be 'cross_entropy' or 'mse', was 'hinge'"),
        ({"x_val": np.zeros((4, 2))}, "x_val must be a tensor"),
    ],
)
def test_bad_data_is_named(change, words):
    parts = {"x_train": X, "y_train": Y, "x_val": X, "y_val": Y}
    with pytest.raises((ValueError, TypeError), match=words):
        Data("bad", **(parts | change))


def test_models_fit_their_data():
    assert mlp()(digits().x_val).shape == (450, 10)
    assert mlp((784, 10), "relu")(mnist().x_val).shape == (1000, 10)
    assert cnn()(mnist().x_val[:3]).shape == (3, 10)
    assert linear(zero=True)(torch.ones(1, 1)).item() == 0


@pytest.mark.parametrize("sizes", [(3,), (), (3, 0), (3, 2.5)])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises((ValueError, TypeError), match="sizes must"):
        mlp(sizes)


@pytest.mark.parametrize("y", [[0.5, 1.0, 1.0, 0.0], [-1, 0, 1, 1], [[0], [1], [0], [1]]])
def test_classes_are_whole_numbers_from_0_on(y):
    with pytest.raises(ValueError, match="y must be class numbers 0, 1"):
        split("toy", np.ones((4, 2)), y, scale=False)


def test_rows_must_match():
    with pytest.raises(ValueError, match="x and y must have as many rows, had 4 and 5"):
        split("toy", np.ones((4, 2)), [0, 1, 0, 1, 0], scale=False)


def test_wrong_labels_are_drawn_for_the_fraction_and_for_no_other_rows():
    data = digits()
    assert torch.equal(mislabelled(data, 0).y_train, data.y_train)
    other = mislabelled(data, 1, seed=3).y_train != data.y_train
    assert float(other.float().mean()) == pytest.approx(0.9, abs=0.03)
    assert torch.equal(data.y_train, digits().y_train)
    with pytest.raises(ValueError, match="fraction must be"):
        mislabelled(data, 40)
    with pytest.raises(ValueError, match="data must be a classification"):
        mislabelled(line(), 0.4)
