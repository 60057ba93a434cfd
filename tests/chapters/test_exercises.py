"""The exercises of the chapters, and the tasks and data that chapters share with experiments."""

import importlib
import pkgutil
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

import lrcourse.chapters
from lrcourse.chapters.adaptive import TASKS, few, task, words
from lrcourse.chapters.convergence import one_hot
from lrcourse.chapters.schedules import shapes
from lrcourse.data import digits, line
from lrcourse.exercises import Exercise, check

CHAPTERS = sorted(
    module.name
    for module in pkgutil.iter_modules(lrcourse.chapters.__path__)
    if not module.name.startswith("_")
)
EXERCISES = {
    f"{chapter}.{name}": found
    for chapter in CHAPTERS
    for name, found in vars(importlib.import_module(f"lrcourse.chapters.{chapter}")).items()
    if isinstance(found, Exercise)
}
MISTAKES = [(name, hint) for name, found in EXERCISES.items() for hint in found.mistakes]


def test_no_exercise_and_no_mistake_is_lost():
    of_chapter = [name.partition(".")[0] for name in EXERCISES]
    assert {chapter: of_chapter.count(chapter) for chapter in CHAPTERS} == {
        "adaptive": 2,
        "basics": 1,
        "batch_size": 1,
        "convergence": 1,
        "finder": 1,
        "generalization": 1,
        "index": 0,  # the front page
        "momentum": 1,
        "one_cycle": 1,
        "schedules": 2,
        "warmup": 1,
        "workers": 0,  # a part of batch_size
    }
    assert len(MISTAKES) == 57


@pytest.mark.parametrize("name", EXERCISES)
def test_the_truth_passes(name):
    assert check(name, EXERCISES[name].truth).passed


@pytest.mark.parametrize(("name", "hint"), MISTAKES)
def test_a_mistake_gets_its_own_hint(name, hint):
    result = check(name, EXERCISES[name].mistakes[hint])
    assert result.state == "wrong"
    assert result.message.endswith(f" Hint: {hint}")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_exercises_need_no_torch(chapter):
    code = f"import sys, lrcourse.chapters.{chapter}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_shapes_share_a_peak_and_fall_to_the_same_end():
    made = shapes(700, end=0.1)
    assert len(made) == 11
    for name, schedule in made.items():
        assert schedule(range(700)).max() == pytest.approx(1), name
        assert schedule(699) == pytest.approx(1 if name == "constant" else 0.1, rel=0.07), name


def test_few_keeps_the_first_images_and_most_labels():
    data, all_ = few(), digits()
    assert torch.equal(data.x_train, all_.x_train[:200])
    assert 20 <= int((data.y_train != all_.y_train[:200]).sum()) <= 40


def test_a_regression_on_classes_has_a_one_in_each_row():
    data = one_hot(digits(), rows=50)
    assert data.y_train.sum(1).tolist() == [1.0] * 50
    assert torch.equal(data.y_train.argmax(1), digits().y_train[:50])
    with pytest.raises(ValueError, match="must be a classification"):
        one_hot(line())


@pytest.mark.parametrize("zipf", [0.0, 1.0])
def test_frequent_words_are_used_as_often_as_the_law_says(zipf):
    data, law = words(zipf), torch.arange(1, 501) ** -zipf
    assert data.x_train.sum(1).unique().tolist() == [30.0]
    used, due = (float(x[:50].sum() / x.sum()) for x in (data.x_train.sum(0), law))
    assert used == pytest.approx(due, abs=0.05)


@pytest.mark.parametrize("name", TASKS)
def test_the_model_of_a_task_fits_its_data(name):
    model, data = task(name)
    classes = int(data.y_train.max()) + 1
    assert model()(data.x_val).shape == (len(data.x_val), classes)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="name must be 'digits'"):
        task("letters")
