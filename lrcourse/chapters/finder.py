"""What the chapter on finders needs and no other: its tasks, readings, exercises.

``TASKS`` are trained by ``experiments/finder.py`` over a whole grid of rates, so that the best rate
is known, and are what ``benchmarks/finder.py`` scores finders on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import choice
from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state, in_words

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

    from lrcourse.data import Data

Array = NDArray[np.float64]

DEEP = (64, 128, 128, 128, 10)
SGD: dict[str, Any] = {"optimizer": "sgd"}
MOMENTUM: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.9}
ADAM: dict[str, Any] = {"optimizer": "adam"}
RMSPROP: dict[str, Any] = {"optimizer": "rmsprop"}
ADAMW: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 0.01}


@dataclass(frozen=True)
class Task:
    """Something to train: a network, its data, an optimizer, and two budgets in updates.

    Examples
    --------
    >>> TASKS["digits, SGD"].steps("short"), TASKS["digits, SGD"].batch_size
    (100, 64)
    """

    factory: Callable[[], nn.Module]
    data: str
    settings: dict[str, Any]
    batch_size: int = 64
    budgets: tuple[int, int] = (100, 1000)

    def steps(self, budget: str) -> int:
        """Return the updates of a budget, "short" or "long"."""
        return self.budgets[("short", "long").index(choice("budget", budget, ["short", "long"]))]


def _mlp(*sizes: int, activation: str = "tanh") -> nn.Module:
    from lrcourse.models import mlp

    return mlp(sizes, activation)


def _normalised(*sizes: int) -> nn.Module:
    """A network with batch normalisation before each ReLU."""
    from torch import nn

    layers: list[nn.Module] = []
    for layer in _mlp(*sizes, activation="relu"):  # type: ignore[attr-defined]
        if isinstance(layer, nn.ReLU):
            layers.append(nn.BatchNorm1d(layers[-1].out_features))  # type: ignore[arg-type]
        layers.append(layer)
    return nn.Sequential(*layers)


def _cnn() -> nn.Module:
    from lrcourse.models import cnn

    return cnn(channels=4, hidden=16)


def _encoder() -> nn.Module:
    from lrcourse.models import encoder

    return encoder(width=16)


RELU = partial(_mlp, *DEEP, activation="relu")
TASKS: dict[str, Task] = {
    "digits, SGD": Task(partial(_mlp, 64, 32, 10), "digits", SGD),
    "digits, Adam": Task(partial(_mlp, 64, 32, 10), "digits", ADAM),
    "deep digits, momentum": Task(RELU, "digits", MOMENTUM, 128, (100, 500)),
    "deep digits with BatchNorm, momentum": Task(
        partial(_normalised, *DEEP), "digits", MOMENTUM, 128, (100, 500)
    ),
    "deep digits with BatchNorm, AdamW": Task(
        partial(_normalised, *DEEP), "digits", ADAMW, 128, (100, 500)
    ),
    "encoder on digits, Adam": Task(_encoder, "digits", ADAM, 32, (100, 300)),
    "autoencoder, momentum": Task(partial(_mlp, 64, 32, 8, 32, 64), "pixels", MOMENTUM),
    "autoencoder, Adam": Task(partial(_mlp, 64, 32, 8, 32, 64), "pixels", ADAM),
    "diabetes, SGD": Task(partial(_mlp, 10, 32, 1), "diabetes", SGD, 32),
    "diabetes with BatchNorm, Adam": Task(partial(_normalised, 10, 32, 1), "diabetes", ADAM, 32),
    "breast cancer, linear, SGD": Task(partial(_mlp, 30, 2), "breast cancer", SGD, 32),
    "images, CNN, Adam": Task(_cnn, "mnist", ADAM, 32, (60, 300)),
}

# Added when the rules were settled: nothing was chosen by looking at them.
FRESH: dict[str, Task] = {
    "digits, RMSprop": Task(
        partial(_mlp, 64, 64, 10, activation="relu"), "digits", RMSPROP, 64, (100, 500)
    ),
    "wrong labels, momentum": Task(
        partial(_mlp, 64, 32, 10), "wrong labels", MOMENTUM, 64, (100, 500)
    ),
    "wine, Adam": Task(partial(_mlp, 13, 16, 3, activation="relu"), "wine", ADAM, 16, (100, 500)),
    "breast cancer with BatchNorm, SGD": Task(
        partial(_normalised, 30, 32, 2), "breast cancer", SGD, 32, (100, 300)
    ),
    "autoencoder with BatchNorm, AdamW": Task(
        partial(_normalised, 64, 32, 8, 32, 64), "pixels", ADAMW, 64, (100, 300)
    ),
    "unscaled diabetes, linear, Adam": Task(
        partial(_mlp, 10, 1), "unscaled diabetes", ADAM, 32, (100, 500)
    ),
}

SHORT_RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0]  # of short runs
# Updates of a range test, and those that the network has trained before it.
TRAPS: dict[str, tuple[int, int]] = {f"{n:,} updates": (n, 0) for n in (20, 50, 100, 200, 1000)} | {
    f"after {n:,} updates": (200, n) for n in (10, 100, 1000)
}


@cache
def data_of(name: str) -> Data:
    """Return the data of a task.

    Parameters
    ----------
    name : str
        The `data` of a task; "pixels" asks for the digits' own pixels as outputs, and "wrong
        labels" has three tenths of the training labels drawn at random.

    Returns
    -------
    Data

    Examples
    --------
    >>> data_of("diabetes")
    Data('diabetes', 331 training and 111 validation rows of 10, mse)
    """
    from sklearn import datasets

    from lrcourse.data import digits, mislabelled, mnist, split

    choice("name", name, [task.data for task in (TASKS | FRESH).values()])
    if name == "digits":
        return digits()
    if name == "wrong labels":
        return mislabelled(digits(), 0.3)
    if name == "mnist":
        images = mnist()
        first = {"x_train": 1000, "y_train": 1000, "x_val": 500, "y_val": 500}
        return replace(images, **{part: getattr(images, part)[:n] for part, n in first.items()})
    if name == "pixels":
        images = digits()
        x, y = images.x_train, images.x_val
        return replace(images, name="pixels", y_train=x, y_val=y, loss="mse")
    if name in ("diabetes", "unscaled diabetes"):
        x, y = datasets.load_diabetes(return_X_y=True)
        if name == "diabetes":
            y = (y - y.mean()) / y.std()
        return split(name, x, y[:, None], loss="mse")
    load = {"wine": datasets.load_wine, "breast cancer": datasets.load_breast_cancer}[name]
    x, y = load(return_X_y=True)
    return split(name, (x - x.mean(0)) / x.std(0), y)


def ready(name: str, seed: int, rows: int | None = None) -> tuple[Any, Any, Any, Any]:
    """Return the model, the optimizer, the loss and the loader of a task, fresh for a seed.

    Parameters
    ----------
    name : str
        A key of ``TASKS`` or ``FRESH``.
    seed : int
        Of the start and of the order of the rows.
    rows : int, optional
        Of a batch, if not the task's own.

    Returns
    -------
    tuple
        What a finder of rates takes.

    Examples
    --------
    >>> model, optimizer, loss, loader = ready("digits, SGD", seed=0)
    >>> type(optimizer).__name__, len(loader)
    ('SGD', 21)
    """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from lrcourse.randomness import seeded
    from lrcourse.settings import Settings

    task = (TASKS | FRESH)[choice("name", name, TASKS | FRESH)]
    data, model = data_of(task.data), seeded(task.factory, seed)
    optimizer = Settings(steps=1, lr=0.01, **task.settings).make_optimizer(model.parameters())
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    loader = DataLoader(
        TensorDataset(data.x_train, data.y_train),
        batch_size=task.batch_size if rows is None else rows,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )
    return model, optimizer, data.loss_of, loader


def trained(name: str, seed: int, updates: int) -> nn.Module:
    """Return the network of a task after some updates at a moderate rate.

    Parameters
    ----------
    name : str
        A key of ``TASKS``.
    seed : int
    updates : int

    Returns
    -------
    torch.nn.Module

    Examples
    --------
    >>> type(trained("digits, SGD", seed=0, updates=2)).__name__
    'Sequential'
    """
    from lrcourse.randomness import seeded
    from lrcourse.training import fit

    task = TASKS[choice("name", name, TASKS)]
    if not updates:
        return seeded(task.factory, seed)
    lr = 0.3 if task.settings["optimizer"] == "sgd" else 0.01
    options = task.settings | {"batch_size": task.batch_size, "progress": False}
    run = fit(task.factory, data_of(task.data), lr=lr, steps=updates, seed=seed, **options)
    assert run.model is not None
    return run.model


def landscape(cube: xr.Dataset) -> xr.DataArray:
    """Return the median final loss of each rate, at most that of no training.

    Parameters
    ----------
    cube : Dataset
        ``val_loss`` and ``first_loss`` over ``lr`` and ``seed``.

    Returns
    -------
    DataArray
        A rate whose median run diverged has the loss of no training.

    Examples
    --------
    >>> import xarray as xr
    >>> ends = xr.DataArray([[1.0, 1.2, 3.0], [9.0, np.nan, np.nan]], dims=["lr", "seed"])
    >>> landscape(xr.Dataset({"val_loss": ends, "first_loss": 0 * ends.fillna(0) + 2})).values
    array([1.2, 2. ])
    """
    import xarray as xr

    from lrcourse.results import middle

    first = cube.first_loss.median("seed")
    first = first.median("lr") if "lr" in first.dims else first
    made: xr.DataArray = xr.apply_ufunc(np.minimum, middle(cube.val_loss), first)
    return made.assign_attrs(long_name="final validation loss")


def regret(losses: xr.DataArray, lr: float | None) -> xr.DataArray:
    r"""Return which share of the possible improvement a rate gives away.

    With the loss :math:`L(\eta)` at the end, the lowest :math:`L^*` of all rates and the loss of no
    training :math:`L_0`, the highest of `losses`, it is
    :math:`\log(L / L^*) / \log(L_0 / L^*)`: 0 at the best rate, 1 where training was in vain.

    Parameters
    ----------
    losses : DataArray
        Of `landscape`, over ``lr`` and other dimensions.
    lr : float, optional
        Between rates of the grid the logarithms are joined by straight lines.  Without one, no rate
        was found, and the regret is 1.

    Returns
    -------
    DataArray
        Over the other dimensions.

    Examples
    --------
    >>> import xarray as xr
    >>> losses = xr.DataArray([4.0, 1.0, 4.0], {"lr": [0.01, 0.1, 1.0]})
    >>> [round(regret(losses, rate).item(), 2) for rate in (0.1, 0.05, None)]
    [0.0, 0.3, 1.0]
    """
    import xarray as xr

    best, worst = losses.min("lr"), losses.max("lr")
    if lr is None or not np.isfinite(lr):
        return (best * 0 + 1).rename("regret")
    place: xr.DataArray = xr.apply_ufunc(np.log, losses.assign_coords(lr=np.log(losses.lr)))
    low, high = float(place.lr[0]), float(place.lr[-1])
    there = place.interp(lr=float(np.clip(np.log(lr), low, high))).drop_vars("lr")
    lost: xr.DataArray = (there - np.log(best)) / np.log(worst / best)
    return lost.rename("regret")


RULES = ("lowest loss", "minimum/10", "steepest", "valley")


def read(tests: xr.DataArray, smoothing: float = 0.02) -> xr.Dataset:
    """Return what each rule reads from recorded range tests.

    Parameters
    ----------
    tests : DataArray
        Losses over ``rate`` and other dimensions; NaN from where a test had stopped.
    smoothing : float
        As in `lrcourse.finder.RangeTest`.

    Returns
    -------
    Dataset
        ``suggested`` over the other dimensions and ``rule``, NaN for no rate, and ``smoothed`` like
        `tests`.  "lowest loss" is the rate of the lowest loss as it came, which is the slide's
        recipe; the other rules are those of the finder.

    Examples
    --------
    >>> import xarray as xr
    >>> rates = np.geomspace(1e-4, 10, 60)
    >>> losses = xr.DataArray(2 - 1 / (1 + (0.01 / rates) ** 2) + rates**2, {"rate": rates})
    >>> losses[-1] = np.nan
    >>> {rule: float(f"{lr:.2g}") for rule, lr in zip(RULES, read(losses).suggested.values)}
    {'lowest loss': 0.092, 'minimum/10': 0.0092, 'steepest': 0.011, 'valley': 0.024}
    """
    import xarray as xr

    from lrcourse.finder import BLOWN, RangeTest

    rates = tests.rate.values
    array = tests.transpose(..., "rate")
    smooth, found = np.full(array.shape, np.nan), np.full((*array.shape[:-1], len(RULES)), np.nan)
    for at in np.ndindex(array.shape[:-1]):
        losses = array.values[at].astype(float)
        n = int(np.isfinite(losses).sum())
        stopped = BLOWN[0] if n < len(losses) else ""
        test = RangeTest(rates[:n], losses[:n], None, float(losses[0]), rates, stopped, smoothing)
        smooth[at][:n] = test.smoothed()
        lr = {rule: one.lr for rule, one in test.suggestions().items()}
        lr["lowest loss"] = float(test.lr[test.loss.argmin()])
        found[at] = [lr[rule] if lr[rule] is not None else np.nan for rule in RULES]
    rest = [dim for dim in array.dims if dim != "rate"]
    coords = {dim: array[dim] for dim in rest}
    return xr.Dataset(
        {"suggested": ((*rest, "rule"), found), "smoothed": (array.dims, smooth)},
        coords | {"rule": list(RULES), "rate": array.rate},
    )


def regrets(losses: xr.DataArray, suggested: xr.DataArray) -> xr.DataArray:
    """Return the regret of each suggestion, see `regret`.

    Parameters
    ----------
    losses : DataArray
        Of `landscape`, over ``task``, ``plan`` and ``lr``.
    suggested : DataArray
        Rates over ``task``, perhaps ``plan``, and other dimensions; NaN for none.

    Returns
    -------
    DataArray
        Over the dimensions of both but ``lr``.

    Examples
    --------
    >>> import xarray as xr
    >>> losses = xr.DataArray([[[4.0, 1.0, 4.0]]], {
    ...     "task": ["a"], "plan": ["short"], "lr": [0.01, 0.1, 1.0]})
    >>> suggested = xr.DataArray([[0.1, np.nan]], {"task": ["a"], "seed": [0, 1]})
    >>> regrets(losses, suggested).values.ravel().tolist()
    [0.0, 1.0]
    """
    import xarray as xr

    plans = losses.plan
    wide = suggested if "plan" in suggested.dims else suggested.expand_dims(plan=plans)
    wide = wide.transpose("task", "plan", ...).sel(plan=plans)
    grid, made = np.log(losses.lr.values), np.empty(wide.shape)
    for i, task in enumerate(wide.task.values):
        for k, plan in enumerate(plans.values):
            logs = np.log(losses.sel(task=task, plan=plan).values)
            place = np.log(np.asarray(wide[i, k], dtype=float))
            lost = (np.interp(place, grid, logs) - logs.min()) / (logs.max() - logs.min())
            made[i, k] = np.where(np.isfinite(place), lost, 1.0)
    return xr.DataArray(made, wide.coords, wide.dims, name="regret")


def scored(regret: xr.DataArray) -> dict[str, dict[str, float]]:
    """Return mean and worst regret of each rule, on the tasks looked at and on the fresh ones.

    Parameters
    ----------
    regret : DataArray
        Over ``task``, ``plan``, ``seed`` and ``rule``; the mean over seeds is judged.

    Returns
    -------
    dict
        From the rule to its four numbers.

    Examples
    --------
    >>> import xarray as xr
    >>> names = list(TASKS | FRESH)
    >>> flat = xr.DataArray(np.full((18, 1, 1, 1), 0.5), {
    ...     "task": names, "plan": ["short"], "seed": [0], "rule": ["valley"]})
    >>> scored(flat)["valley"]["mean"], scored(flat)["valley"]["worst, fresh"]
    (0.5, 0.5)
    """
    each = regret.mean("seed")
    rows: dict[str, dict[str, float]] = {}
    for rule in each.rule.values.tolist():
        row = rows[rule] = {}
        for suffix, names in (("", list(TASKS)), (", fresh", list(FRESH))):
            part = each.sel(rule=rule, task=names)
            row[f"mean{suffix}"], row[f"worst{suffix}"] = float(part.mean()), float(part.max())
    return rows


def said_of_rules(suggested: xr.DataArray, losses: xr.DataArray) -> xr.DataArray:
    """Return what training at each suggested rate leads to, in words.

    Parameters
    ----------
    suggested : DataArray
        Rates over ``task`` and ``rule``.
    losses : DataArray
        Of `landscape`, over ``task``, ``plan`` and ``lr``.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> losses = xr.DataArray([[[4.0, 1.0, 4.0], [8.0, 2.0, 2.1]]], {
    ...     "task": ["a"], "plan": ["short", "long"], "lr": [0.01, 0.1, 1.0]})
    >>> suggested = xr.DataArray([[1.0]], {"task": ["a"], "rule": ["valley"]})
    >>> said_of_rules(suggested, losses).item()
    'Rate 1 is 10 times the best one of long trainings. The loss ends as high as without training in the short ones, at 1.05 times the lowest in the long ones.'
    """  # noqa: E501

    def ends(task: str, plan: str, rate: float) -> str:
        there = losses.sel(task=task, plan=plan)
        if regret(there, rate).item() > 0.98:
            return "as high as without training"
        times = np.exp(regret(there, rate).item() * np.log((there.max() / there.min()).item()))
        return f"at {in_words(times)} times the lowest" if times > 1.005 else "lowest of all"

    def say(task: str, rule: str, rate: float) -> str:
        if not np.isfinite(rate):
            return "No rate can be read from this test."
        there = losses.sel(task=task, plan="long")
        times = rate / there.lr[int(there.argmin("lr"))].item()
        much = (
            f"{in_words(times, 2)} times" if times > 1 else f"{in_words(1 / times, 2)} times below"
        )
        if 0.995 < times < 1.005:
            much = "exactly"
        head = f"Rate {in_words(rate, 2)} is {much} the best one of long trainings."
        short, long = (ends(task, plan, rate) for plan in ("short", "long"))
        return f"{head} The loss ends {short} in the short ones, {long} in the long ones."

    return each_state(say, suggested.task, suggested.rule, suggested)


def said_of_batches(suggested: xr.DataArray, best: xr.DataArray) -> xr.DataArray:
    """Return how a suggested rate stands to the best one of its batch size, in words.

    Parameters
    ----------
    suggested : DataArray
        Rates over ``batch_size`` and other dimensions; NaN for none.
    best : DataArray
        The best rates over ``batch_size`` and others of these dimensions.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> suggested = xr.DataArray([0.5, 0.01, np.nan], {"batch_size": [4, 16, 64]})
    >>> for text in said_of_batches(suggested, suggested * 0 + 0.1).values[[0, 1, 2]]:
    ...     print(text)
    Suggested is 0.5, 5 times the best rate.
    Suggested is 0.01, a tenth of the best rate or less.
    The test suggests no rate.
    """
    import xarray as xr

    def say(rate: float, best: float) -> str:
        if not np.isfinite(rate):
            return "The test suggests no rate."
        times = rate / best
        head = f"Suggested is {in_words(rate, 2)}"
        if times <= 0.1:
            return f"{head}, a tenth of the best rate or less."
        if times < 1 / 1.5:
            return f"{head}, {in_words(1 / times, 2)} times below the best rate."
        if times <= 1.5:
            return f"{head}, within a factor of 1.5 of the best rate."
        return f"{head}, {in_words(times, 2)} times the best rate."

    wide, other = xr.broadcast(suggested, best)
    return each_state(say, wide, other.fillna(0.1) if bool(other.isnull().any()) else other)


CURVATURES = np.array([1.0, 0.03])
START = np.array([1.0, 9.0])  # mean squares of the two weights
NOISE = 1.0
HORIZONS = [1, 3, 10, 30, 100, 300]


def expected(rates: Array) -> Array:
    r"""Return the expected loss of two weights under noisy gradients, before each update and after.

    The loss is :math:`\tfrac12 \sum_i h_i w_i^2` and the gradient that an update sees is
    :math:`h_i (w_i - c_i)` with a fresh :math:`c_i` of variance :math:`\sigma^2` each time.  So the
    mean square :math:`m_i` of a weight follows
    :math:`m_i \leftarrow (1 - \eta h_i)^2 m_i + \eta^2 h_i^2 \sigma^2`: no run is needed.

    Parameters
    ----------
    rates : array of float, shape (steps,)

    Returns
    -------
    array of float, shape (steps + 1,)

    References
    ----------
    Wu, Ren, Liao and Grosse, 2018, section 2.

    Examples
    --------
    >>> expected(np.array([0.5, 0.5])).round(3)
    array([0.635, 0.381, 0.315])
    """
    square, losses = START, []
    for rate in [*rates.tolist(), 0.0]:
        losses.append(float(CURVATURES @ square) / 2)
        square = (1 - rate * CURVATURES) ** 2 * square + (rate * CURVATURES) ** 2 * NOISE
    return np.array(losses)


def greedy(steps: int) -> Array:
    """Return the rates of which each makes the expected loss of the next update the lowest.

    Parameters
    ----------
    steps : int

    Returns
    -------
    array of float, shape (steps,)

    Examples
    --------
    >>> greedy(3).round(2)
    array([0.5 , 0.34, 0.26])
    """
    square, rates = START, []
    for _ in range(steps):
        rate = float((CURVATURES**2 * square).sum() / (CURVATURES**3 * (square + NOISE)).sum())
        rates.append(rate)
        square = (1 - rate * CURVATURES) ** 2 * square + (rate * CURVATURES) ** 2 * NOISE
    return np.array(rates)


def horizons(steps: int = 300) -> xr.Dataset:
    """Return the expected loss after each horizon at each rate, and the runs that a judge chooses.

    Parameters
    ----------
    steps : int
        Updates of the whole run.

    Returns
    -------
    Dataset
        ``loss`` over ``plan`` ("constant" or "falls to 0"), ``horizon`` and ``lr``; ``judged``, the
        rate of the lowest loss at the horizon; and over ``step`` the whole run at this rate,
        ``run``, at the best rate, ``best_run``, and at the greedy rates, ``greedy_run``.

    Examples
    --------
    >>> found = horizons()
    >>> found.judged.sel(plan="constant", horizon=[30, 300]).values.round(2)
    array([0.1 , 0.12])
    """
    import xarray as xr

    lr = np.geomspace(0.01, 1.9, 60)
    plans = {"constant": np.ones(steps), "falls to 0": 1 - np.arange(steps) / steps}
    runs = np.array([[expected(rate * shape) for rate in lr] for shape in plans.values()])
    kept = [h for h in HORIZONS if h <= steps]
    loss = xr.DataArray(
        runs[:, :, kept].transpose(0, 2, 1),
        {"plan": list(plans), "horizon": kept, "lr": lr},
        name="loss",
    )
    whole = xr.DataArray(runs, {"plan": list(plans), "lr": lr, "step": np.arange(steps + 1)})
    place = loss.argmin("lr")
    chosen = whole.isel(lr=place).drop_vars("lr")
    best = whole.isel(lr=place.sel(horizon=kept[-1], drop=True)).drop_vars("lr")
    judged = loss.lr[place].drop_vars("lr")
    return xr.Dataset(
        {
            "loss": loss,
            "judged": judged,
            "run": chosen,
            "best_run": best,
            "greedy_run": ("step", expected(greedy(steps))),
        }
    )


def said_of_horizons(found: xr.Dataset) -> xr.DataArray:
    """Return what it costs to judge rates after a horizon, in words.

    Parameters
    ----------
    found : Dataset
        Of `horizons`.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> said_of_horizons(horizons()).sel(plan="falls to 0", horizon=30).item()
    'Judged after 30 updates, the best rate is 0.1. The whole run then ends at 5.5 times the lowest loss.'
    """  # noqa: E501

    def say(horizon: int, rate: float, end: float, best: float) -> str:
        many = f"{horizon} update{'s' * (horizon > 1)}"
        head = f"Judged after {many}, the best rate is {in_words(rate, 2)}."
        times = end / best
        if times < 1.05:
            return f"{head} The whole run then ends lowest, or within 5 % of it."
        return f"{head} The whole run then ends at {in_words(times, 2)} times the lowest loss."

    ends = found.run.isel(step=-1, drop=True), found.best_run.isel(step=-1, drop=True)
    return each_state(say, found.horizon, found.judged, *ends)


def invented(seed: int, n: int = 100) -> tuple[Array, Array]:
    r"""Return rates and losses of a range test in which nothing is trained.

    The losses are drawn from normal distributions around :math:`1 - e^{-10\eta}`, with deviation
    0.1, for n rates from 0.00001 to 1.

    Parameters
    ----------
    seed : int
    n : int

    Returns
    -------
    tuple of two arrays of float, shape (n,)

    Examples
    --------
    >>> rates, losses = invented(seed=0)
    >>> float(rates[0]), float(rates[-1]), bool(losses[-20:].mean() > losses[:20].mean())
    (1e-05, 1.0, True)
    """
    rates = np.geomspace(1e-5, 1, n)
    return rates, np.random.default_rng(seed).normal(1 - np.exp(-10 * rates), 0.1)


@exercise(
    cases=[
        {"losses": [2.0, 2.0, 2.0, 2.0], "beta": 0.9},
        {"losses": [3.0, 1.0, 4.0, 1.0, 5.0], "beta": 0.5},
        {"losses": [-1.0, -2.0, -1.5], "beta": 0.98},
    ]
)
def running_mean(losses: list[float], beta: float) -> list[float]:
    """The running mean of losses that is right from the first one on.

    >>> [round(mean, 9) for mean in running_mean([2.0, 2.0, 2.0], beta=0.9)]
    [2.0, 2.0, 2.0]
    """
    total, weight, means = 0.0, 0.0, []
    for loss in losses:
        total = beta * total + (1 - beta) * loss
        weight = beta * weight + 1 - beta
        means.append(total / weight)
    return means


@running_mean.mistake(
    "The sum starts at 0, so the first means are too low. Divide by the weights that it holds."
)
def _uncorrected(losses: list[float], beta: float) -> list[float]:
    total, means = 0.0, []
    for loss in losses:
        total = beta * total + (1 - beta) * loss
        means.append(total)
    return means


@running_mean.mistake(
    "The correction is one update late: after the first loss the sum holds the weight 1 − β, not "
    "1 − β²."
)
def _late(losses: list[float], beta: float) -> list[float]:
    total, means = 0.0, []
    for t, loss in enumerate(losses):
        total = beta * total + (1 - beta) * loss
        means.append(total / (1 - beta ** (t + 2)))
    return means


@running_mean.mistake(
    "Starting at the first loss keeps a constant constant, but gives that one loss the weight of "
    "all that would have come before it."
)
def _first(losses: list[float], beta: float) -> list[float]:
    mean, means = losses[0], []
    for loss in losses:
        mean = beta * mean + (1 - beta) * loss
        means.append(mean)
    return means


@running_mean.mistake(
    "β is the share that is kept of the old mean. Here it is given to the new loss."
)
def _swapped(losses: list[float], beta: float) -> list[float]:
    total, weight, means = 0.0, 0.0, []
    for loss in losses:
        total = (1 - beta) * total + beta * loss
        weight = (1 - beta) * weight + beta
        means.append(total / weight)
    return means
