"""Settings: every hyperparameter named once, checked once, and shown in help."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from lrcourse._limits import LIMITS
from lrcourse.optimizers import Adam, AdamW, Momentum, RMSprop
from lrcourse.schedules import Constant, Cosine, OneCycle
from lrcourse.settings import SETTINGS, Settings
from lrcourse.sweeps import sweep
from lrcourse.training import fit


@pytest.mark.parametrize("function", [fit, sweep])
def test_help_and_completion_name_every_setting(function):
    shown = inspect.signature(function).parameters
    assert set(SETTINGS) <= set(shown)
    assert list(shown)[:4] == ["model", "data", "steps", "lr"]
    assert shown["steps"].default is inspect.Parameter.empty
    assert shown["betas"].default == (0.9, 0.999)
    assert not any(p.kind is p.VAR_KEYWORD for p in shown.values())


WRONG = {
    "momentum": [-0.1, 1.0, 1],
    "alpha": [-0.1, 1.0],
    "betas": [0.9, (0.9,), (0.9, 1.0), (0.9, 0.99, 0.999)],
    "eps": [-1e-8],
    "weight_decay": [-1.0, float("inf")],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs])
def test_one_table_of_limits_serves_networks_and_surfaces(name, value):
    kind = {"momentum": Momentum, "alpha": RMSprop, "weight_decay": AdamW}.get(name, Adam)
    optimizer = {Momentum: "sgd", RMSprop: "rmsprop", AdamW: "adamw", Adam: "adam"}[kind]
    said = []
    for make in (
        lambda: Settings(steps=1, lr=0.1, optimizer=optimizer, **{name: value}),
        lambda: kind(**{name: value}),
        lambda: LIMITS[name](name, value),
    ):
        with pytest.raises((TypeError, ValueError), match=f"{name} must be") as caught:
            make()
        said.append(str(caught.value).split(", was")[0])
    assert said[0] == said[2]
    if name != "betas":  # descents take arrays of betas, one for each run
        assert said[1] == said[2]


def test_what_a_schedule_plans_is_not_given_twice():
    plan = OneCycle(0.1, 9)
    with pytest.raises(ValueError, match="momentum must not be given where the schedule plans it"):
        Settings(steps=9, schedule=plan, momentum=0.5)
    with pytest.raises(ValueError, match="betas must not be given"):
        Settings(steps=9, schedule=plan, optimizer="adam", betas=(0.5, 0.9))
    assert Settings(steps=9, schedule=plan, optimizer="adam", betas=(0.9, 0.9)).plans_momentum
    assert Settings(steps=9, schedule=plan, nesterov=True).plans_momentum
    assert not Settings(steps=9, schedule=Cosine(0.1, 9), momentum=0.5).plans_momentum


def test_a_class_in_place_of_a_schedule_is_named():
    with pytest.raises(TypeError, match="was the class Constant itself: call it"):
        Settings(steps=3, lr=0.1, schedule=Constant)


def test_numbers_may_come_as_arrays_of_one():
    plan = Settings(steps=np.array(3), lr=np.float32(0.5), seed=np.int64(2**63 - 1))
    assert (plan.steps, plan.lr, plan.seed) == (3, 0.5, 2**63 - 1)
    assert [type(getattr(plan, f.name)) for f in fields(plan)[:2]] == [int, float]
