"""Finders of a learning rate, scored: how much do they give away of what the best rate achieves?

Eighteen tasks were trained at 25 rates with 5 seeds and two budgets (lrcourse/recorded/finder.nc
and finder_fresh.nc).  A finder suggests a rate from each of five starts; its regret is the share of
the possible improvement, in the logarithm of the validation loss, that this rate gives away: 0 is
the best rate of the sweep, 1 no training at all, or no suggestion.  Rules were settled on twelve of
the tasks; on the six fresh ones nothing was chosen.

The rivals are fastai 2.8 (four rules), torch-lr-finder 0.2 and Lightning 2.6, each called as its
documentation shows, with its own range of rates.  They are run where they can be imported:
``pip install --no-deps -r benchmarks/requirements-finders.txt``, best into an environment of their
own.  None of them needs torchvision for this.  Run it on an idle machine:
python benchmarks/finder.py
"""

import argparse
import contextlib
import importlib.util
import io
import itertools
import logging
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lrcourse import load, range_test, short_runs, stable_rate
from lrcourse.chapters.finder import FRESH, SHORT_RATES, TASKS, landscape, ready, regret

HAS = {
    name: importlib.util.find_spec(name) is not None
    for name in ("fastai", "torch_lr_finder", "lightning")
}


def ours(name, seed):
    """What each of our rules suggests, and how many updates or passes it took."""
    parts = ready(name, seed)
    found = range_test(*parts, progress=False)
    rates = {f"range test, {rule}": one.lr for rule, one in found.suggestions().items()}
    losses = np.where(np.isfinite(found.loss), found.loss, np.inf)
    rates["range test, lowest raw loss (the slide)"] = float(found.lr[losses.argmin()])
    stable = stable_rate(*parts, progress=False)
    rates |= {f"stable_rate, {rule}": one.lr for rule, one in stable.suggestions().items()}
    return rates, {"range_test": len(found.lr), "stable_rate": stable.passes}


def tenth(name, seed, budget):
    """The suggestion of full runs at a tenth of the budget."""
    steps = (TASKS | FRESH)[name].steps(budget) // 10
    found = short_runs(*ready(name, seed), steps=steps, rates=SHORT_RATES, progress=False)
    return found.suggest().lr


def of_torch_lr_finder(name, seed):
    import matplotlib.pyplot as plt
    from torch_lr_finder import LRFinder

    model, optimizer, loss, loader = ready(name, seed)
    optimizer.param_groups[0]["lr"] = 1e-7
    finder = LRFinder(model, optimizer, loss, device="cpu")
    finder.range_test(loader, end_lr=100, num_iter=100)
    try:
        lr = finder.plot(ax=plt.figure().subplots(), suggest_lr=True)[1]
    except RuntimeError:  # too few points
        lr = None
    plt.close("all")
    return {"torch-lr-finder, steepest": lr}


def of_lightning(name, seed):
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.tuner import Tuner

    model, optimizer, loss, loader = ready(name, seed)

    class Task(LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.lr = model, 1e-3

        def training_step(self, batch, index):
            return loss(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            optimizer.param_groups[0]["lr"] = self.lr
            return optimizer

    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, max_epochs=1000, default_root_dir=tempfile.mkdtemp(),
    )  # fmt: skip
    found = Tuner(trainer).lr_find(Task(), train_dataloaders=loader)
    return {"Lightning, steepest": found.suggestion() if found else None}


def of_fastai(name, seed):
    from fastai.callback.schedule import minimum, slide, steep, valley
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    model, optimizer, loss, loader = ready(name, seed)
    known = {"momentum", "weight_decay", "betas", "eps", "alpha"}
    options = {key: v for key, v in optimizer.defaults.items() if key in known}
    learner = Learner(
        DataLoaders(loader, loader),
        model,
        loss_func=loss,
        opt_func=partial(OptimWrapper, opt=partial(type(optimizer), **options)),
        path=Path(tempfile.mkdtemp()),
    )
    with learner.no_bar(), learner.no_logging():
        found = learner.lr_find(suggest_funcs=(valley, steep, minimum, slide), show_plot=False)
    return {f"fastai, {rule}": float(getattr(found, rule)) for rule in found._fields}


def theirs(name, seed):
    """What each rival suggests; a rival that fails suggests nothing."""
    rates = {}
    makers = {"fastai": of_fastai, "torch_lr_finder": of_torch_lr_finder, "lightning": of_lightning}
    for package, make in makers.items():
        if HAS[package]:
            quiet = io.StringIO()
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                rates |= make(name, seed)
    return rates


def scores(names, seeds, losses):
    """Regret by rule, task, budget and seed."""
    found, cost = {}, {}
    for name in names:
        for seed in seeds:
            rates, used = ours(name, seed)
            rates |= theirs(name, seed)
            for what, n in used.items():
                cost.setdefault(what, []).append(n)
            for budget in ("short", "long"):
                there = losses.sel(task=name, plan=budget)
                at = rates | {"short_runs, a tenth of the budget": tenth(name, seed, budget)}
                for rule, lr in at.items():
                    place = found.setdefault(rule, {}).setdefault((name, budget), [])
                    place.append(regret(there, lr).item())
    return found, cost


def summary(found, names):
    """Mean and worst regret of each rule over tasks and budgets, seeds averaged; and worst run."""
    rows = {}
    for rule, cells in found.items():
        runs = [values for (name, _), values in cells.items() if name in names]
        means = [np.mean(values) for values in runs]
        rows[rule] = np.mean(means), np.max(means), np.max(runs)
    return dict(sorted(rows.items(), key=lambda row: row[1][0]))


def overhead(name, turns, steps=100):
    """The time of a range test over that of the same forward and backward passes and steps."""
    model, optimizer, loss, loader = ready(name, 0)
    held = list(itertools.islice(itertools.cycle(list(loader)), steps + 1))
    rates = np.geomspace(1e-6, 1e-5, steps).tolist()

    def bare():
        for (x, y), rate in zip(held, rates, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rate
            made = loss(model(x), y)
            made.item()
            optimizer.zero_grad()
            made.backward()
            optimizer.step()
        loss(model(held[-1][0]), held[-1][1]).item()

    def test():
        range_test(
            model, optimizer, loss, held, low=1e-6, high=1e-5, steps=steps, progress=False
        )  # fmt: skip

    times = {bare: [], test: []}
    for _ in range(turns):
        for call, taken in times.items():
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return min(times[test]) / min(times[bare])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three tasks, two seeds")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if missing := [package for package, there in HAS.items() if not there]:
        print(f"not installed, so not compared: {', '.join(missing)}", file=sys.stderr)
    looked_at, fresh = list(TASKS), list(FRESH)
    if quick:
        looked_at, fresh = looked_at[:2], fresh[:1]
    losses = {
        name: landscape(load(cube))
        for cube, names in (("finder", looked_at), ("finder_fresh", fresh))
        for name in names
    }
    found, cost = {}, {}
    for name, there in losses.items():
        more, used = scores([name], range(2 if quick else 5), there)
        for rule, cells in more.items():
            found.setdefault(rule, {}).update(cells)
        for what, counts in used.items():
            cost.setdefault(what, []).extend(counts)
    parts = {"twelve tasks that were looked at": looked_at, "fresh tasks": fresh}
    best = {}
    for part, names in parts.items():
        rows = summary(found, names)
        print(f"\nregret on {len(names)} {part.removeprefix('twelve ')}: mean over tasks and "
              "budgets, worst of them, worst single start")  # fmt: skip
        for rule, row in rows.items():
            print(f"  {rule:42s}" + "".join(f"{value:8.3f}" for value in row))
        rivals = [row for rule, row in rows.items() if rule.split(",")[0] in NAMES]
        best[part] = rows["range test, valley"], np.min(rivals, axis=0) if rivals else None
    many = {what: np.median(counts) for what, counts in cost.items()}
    print(f"\ncost: range_test {many['range_test']:.0f} updates, stable_rate "
          f"{many['stable_rate']:.0f} forward passes, "
          f"short_runs {len(SHORT_RATES) / 10:.1f} budgets\n")  # fmt: skip
    for part, (mine, rival) in best.items():
        for i, what in enumerate(("mean", "worst")):
            goal = (
                "no rival installed"
                if rival is None
                else f"goal below {rival[i]:.3f}, the best rival"
            )
            print(f"{what} regret of the range test's valley, {part}: {mine[i]:.3f} ({goal})")
    for name in ("digits, SGD", "deep digits with BatchNorm, AdamW"):
        ratio = overhead(name, 5 if quick else 25)
        print(f"time over bare passes, {name}: {ratio:.2f} (goal 1.1)")


NAMES = ("fastai", "torch-lr-finder", "Lightning")

if __name__ == "__main__":
    main()
