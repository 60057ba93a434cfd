"""What several experiments measure in the same way."""

from __future__ import annotations

import pytest
import torch

from experiments.recording import halves
from lrcourse.data import digits
from lrcourse.models import mlp
from lrcourse.training import evaluate, seeded


def test_halves_are_the_two_parts_of_the_validation_digits():
    model, data = seeded(mlp, 0), digits()
    (loss, wrong), n = halves(model, data), len(data.x_val)
    _, val_loss, accuracy = evaluate(model, data)
    sizes = torch.tensor([n // 2, n - n // 2]) / n
    assert float((loss.detach() * sizes).sum()) == pytest.approx(val_loss, rel=1e-5)
    assert float((wrong.detach() * sizes).sum()) == pytest.approx(1 - accuracy, abs=1e-6)
