"""What the chapter on generalization needs and no other.

Its data with a test part, the runs of its experiments, the construction that changes a network's
curvature and nothing else, what the states of its explorers mean in words, and its exercises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import choice, count, number
from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state, in_words
from lrcourse.results import middle

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor, nn

    from lrcourse.data import Data

NETWORKS = {"32 units": (64, 32, 10), "256 units": (64, 256, 10)}
TRAIN, VALIDATION = 400, 400  # digits; the other 997 are the test part
BATCH = 32
EARLY, EVERY = 300, 5  # the first updates are evaluated every 5 updates
LATER = 100  # and all others every 100
BUDGETS = (100, 1_000, 4_000)
EQUAL_LOSS = 0.1
COMPARED = (
    *(f"after {n:,} updates" for n in BUDGETS),
    f"at training loss {EQUAL_LOSS}",
    "stopped early",
)
READINGS = ("100 updates", "1000 updates", "4000 updates", "training loss 0.1", "stopped early")
LABELS = {0.0: "true labels", 0.4: "noisy labels"}
PATCH = 16  # inputs of the synthetic patch
SETS = ("digits and patches", "digits alone")
TWIN_LR = 0.2
PLANS = ("constant", "falls to a tenth")


def network(name: str) -> Callable[[], nn.Module]:
    """Return the factory of one of the chapter's networks.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.

    Returns
    -------
    callable

    Examples
    --------
    >>> sum(p.numel() for p in network("32 units")().parameters())
    2410
    """
    from lrcourse.models import mlp

    return partial(mlp, NETWORKS[choice("name", name, NETWORKS)], "relu")


def three_parts(noise: float = 0.0, seed: int = 0) -> tuple[Data, Tensor, Tensor]:
    """Return digits to train on, to choose with and to test on, in a split of their own.

    Wrong labels are drawn for training digits only.

    Parameters
    ----------
    noise : float
        Share of the training labels that are drawn at random, from 0 to 1.
    seed : int
        Of the split and of the wrong labels.

    Returns
    -------
    tuple of (Data, Tensor, Tensor)
        400 training and 400 validation digits; the inputs and the labels of 997 test digits.

    Raises
    ------
    ValueError
        A share that is none.

    Examples
    --------
    >>> data, x_test, y_test = three_parts(noise=0.4)
    >>> len(data.x_train), len(data.x_val), len(x_test)
    (400, 400, 997)
    """
    from dataclasses import replace

    from lrcourse.data import digits, mislabelled

    number("noise", noise, low=0, high=1)
    whole = digits(val_fraction=1 - TRAIN / 1797, seed=seed)
    data = replace(whole, x_val=whole.x_val[:VALIDATION], y_val=whole.y_val[:VALIDATION])
    return mislabelled(data, noise, seed), whole.x_val[VALIDATION:], whole.y_val[VALIDATION:]


def wrong_on(x: Tensor, y: Tensor, model: nn.Module, data: Data) -> Tensor:
    """Return the percentage of rows that a model gets wrong; with two arguments fixed, a measure.

    Parameters
    ----------
    x, y : Tensor
        Inputs, and labels or the rows of one-hot targets.
    model : torch.nn.Module
    data : Data
        Not used.

    Returns
    -------
    Tensor
    """
    labels = y if y.ndim == 1 else y.argmax(1)
    wrong: Tensor = 100 * (model(x).argmax(1) != labels).double().mean()
    return wrong


def wrong_in_training(model: nn.Module, data: Data) -> Tensor:
    """Return the percentage of training rows whose given label a model does not give.

    Parameters
    ----------
    model : torch.nn.Module
    data : Data

    Returns
    -------
    Tensor
    """
    return wrong_on(data.x_train, data.y_train, model, data)


def compared(
    network_name: str, noise: float, seed: int, lr: Sequence[float], steps: int, long: int
) -> xr.Dataset:
    """Train one network at several rates, and read it at five points of its way.

    The points are those of `COMPARED`: fixed numbers of updates; the first evaluation whose loss on
    the training labels is at most 0.1; and the one with the fewest mistakes on validation data.

    Parameters
    ----------
    network_name : str
        A key of `NETWORKS`.
    noise : float
        Share of the training labels drawn at random.
    seed : int
        Of the split, the wrong labels, the start and the batches.
    lr : sequence of float
    steps, long : int
        Updates of a run; below rate 0.1 it gets `long`.

    Returns
    -------
    xarray.Dataset
        ``test``, ``train`` and ``val``, mistakes in percent, ``train_loss`` and ``updates`` over
        lr and compared, NaN where the point is not reached; ``way_test`` and ``way_train`` over lr
        and eval_step, up to `steps`.
    """
    import xarray as xr

    low, high = [r for r in lr if r < 0.1], [r for r in lr if r >= 0.1]
    parts = [
        _way(network_name, noise, seed, low, long),
        _way(network_name, noise, seed, high, steps),
    ]
    runs = xr.concat([p for p in parts if p is not None], "lr", join="outer")
    at = {
        name: read_at(runs, runs.eval_step == n) for name, n in zip(COMPARED, BUDGETS, strict=False)
    }
    at[COMPARED[3]] = read_at(runs, runs.train_loss <= EQUAL_LOSS)
    at[COMPARED[4]] = read_at(runs, runs.val == runs.val.min("eval_step"))
    points = xr.concat(at.values(), "compared").assign_coords(compared=list(at))
    seen = np.unique(np.geomspace(5, steps, 36).round().astype(int))
    on_way = runs[["test", "train"]].sel(eval_step=seen, method="nearest")
    on_way = on_way.drop_duplicates("eval_step").rename(test="way_test", train="way_train")
    return xr.merge([points, on_way]).drop_attrs()


def _way(
    network_name: str, noise: float, seed: int, lr: Sequence[float], steps: int
) -> xr.Dataset | None:
    """Evaluate runs every 5 updates up to update 300, then every 100."""
    import xarray as xr

    from lrcourse.sweeps import sweep

    if not lr:
        return None
    data, x_test, y_test = three_parts(noise, seed)
    measures = {"test": partial(wrong_on, x_test, y_test), "train": wrong_in_training}
    how: dict[str, Any] = {"lr": list(lr), "batch_size": BATCH, "measures": measures}
    how |= {"seed": [seed], "engine": "batched", "progress": False}
    make = partial(sweep, network(network_name), data, **how)
    parts = [make(steps=min(EARLY, steps), eval_every=EVERY)]
    if steps > EARLY:  # the same runs again, and on
        whole = make(steps=steps, eval_every=LATER)
        parts.append(whole.sel(eval_step=whole.eval_step > EARLY))
    names = ["test", "train", "train_loss", "val_accuracy"]
    runs = xr.concat([p[names] for p in parts], "eval_step").isel(seed=0, drop=True)
    return runs.assign(val=100 * (1 - runs.val_accuracy))


def read_at(runs: xr.Dataset, where: xr.DataArray) -> xr.Dataset:
    """Return what was measured at the first evaluation where a condition holds, NaN if nowhere.

    Parameters
    ----------
    runs : Dataset over eval_step, and others
    where : DataArray of bool over eval_step, and maybe others

    Returns
    -------
    Dataset
        ``test``, ``train``, ``val`` and ``train_loss``, and ``updates``, the update of the reading.

    Examples
    --------
    >>> import xarray as xr
    >>> at = {"eval_step": [0, 10, 20]}
    >>> runs = xr.Dataset({n: ("eval_step", [3.0, 2, 1]) for n in READ}, at)
    >>> found = read_at(runs, runs.train_loss < 2.5)
    >>> found.test.item(), found.updates.item()
    (2.0, 10.0)
    """
    first, there = where.argmax("eval_step"), where.any("eval_step")
    found = runs[list(READ)].isel(eval_step=first)
    found = found.assign(updates=found.eval_step.astype(float)).drop_vars("eval_step")
    return found.where(there)


READ = ("test", "train", "val", "train_loss")


def curvatures(
    network_name: str, noise: float, lr: float, seed: int, steps: int = 10_000
) -> dict[str, Any]:
    """Measure the sharpness of one run after 1,000 updates, and where its training loss is 0.1.

    Parameters
    ----------
    network_name, noise, lr, seed
        As in `compared`; the run is the same.
    steps : int
        Give up after so many updates.

    Returns
    -------
    dict
        ``sharpness`` and ``test``, mistakes in percent, over ``compared``: the second and the
        fourth of `COMPARED`, NaN where the run does not get there.
    """
    from lrcourse.curvature import sharpness
    from lrcourse.training import fit

    data, x_test, y_test = three_parts(noise, seed)
    found = np.full((2, 2), np.nan)
    every = {True: EVERY, False: LATER}

    def look(t: int, model: nn.Module, loss: float) -> bool:
        import torch

        done = t + 1
        if done == BUDGETS[1]:
            keep(0, model)
        if np.isnan(found[0, 1]) and done % every[done <= EARLY] == 0:
            with torch.no_grad():
                there = bool(data.loss_of(model(data.x_train), data.y_train) <= EQUAL_LOSS)
            if there:
                keep(1, model)
        return bool(done >= BUDGETS[1] and np.isfinite(found[0, 1]))

    def keep(i: int, model: nn.Module) -> None:
        found[1, i] = float(wrong_on(x_test, y_test, model, data))
        try:
            found[0, i] = sharpness(model, data, tol=0.01)
        except (RuntimeError, ValueError):
            found[0, i] = np.inf

    fit(network(network_name), data, lr=lr, batch_size=BATCH, seed=seed, steps=steps,
        callbacks=[look], progress=False)  # fmt: skip
    return {"sharpness": ("compared", found[0]), "test": ("compared", found[1])}


def on_squares(data: Data) -> Data:
    """Return a classification as a regression on rows that hold a 1 at the class.

    Parameters
    ----------
    data : Data

    Returns
    -------
    Data

    Examples
    --------
    >>> from lrcourse.data import digits
    >>> on_squares(digits()).y_train[0].sum().item()
    1.0
    """
    from dataclasses import replace

    from torch.nn.functional import one_hot

    y_train, y_val = (one_hot(y, 10).float() for y in (data.y_train, data.y_val))
    return replace(data, y_train=y_train, y_val=y_val, loss="mse")


def catapult(lr: float, seed: int, steps: int = 250, every: int = 5) -> dict[str, Any]:
    r"""Train with all digits at every update, at a rate in units of 1 over the first curvature.

    A 64-256-10 network with ReLU, mean squared error.

    Parameters
    ----------
    lr : float
        The rate times :math:`\lambda_0`, the sharpness at the start.
    seed, steps : int
    every : int
        Updates between measurements.

    Returns
    -------
    dict
        ``loss`` over step; ``sharpness``, ``val``, mistakes in percent, and ``dead``, the share of
        hidden units that no training digit turns on, over ``eval_step``; ``first``, the sharpness
        at the start; ``diverged_at``.
    """
    from lrcourse.curvature import sharpness
    from lrcourse.data import digits
    from lrcourse.randomness import seeded
    from lrcourse.training import fit

    data, build = on_squares(digits()), network("256 units")
    first = sharpness(seeded(build, seed), data, tol=1e-3)

    def curvature(model: nn.Module, data: Data) -> float:
        try:
            return sharpness(model, data, tol=0.02)
        except (RuntimeError, ValueError):
            return np.nan

    measures: dict[str, Callable[..., Any]] = {
        "sharpness": curvature,
        "val": partial(wrong_on, data.x_val, data.y_val),
        "dead": dead_units,
    }
    run = fit(build, data, lr=lr / first, seed=seed, steps=steps, batch_size=None,
              eval_every=every, measures=measures, progress=False)  # fmt: skip
    return {
        "loss": ("step", run.loss),
        "train_loss": ("eval_step", run.train_loss),
        **{name: ("eval_step", run.measures[name]) for name in measures},
        "first": first,
        "diverged_at": -1 if run.diverged_at is None else run.diverged_at,
    }


def dead_units(model: nn.Module, data: Data) -> Tensor:
    """Return the percentage of units after the first ReLU that no training row turns on.

    Parameters
    ----------
    model : torch.nn.Sequential
        As `lrcourse.models.mlp` builds it.
    data : Data

    Returns
    -------
    Tensor
    """
    hidden = model[1](model[0](data.x_train))  # type: ignore[index]
    share: Tensor = 100 * (hidden <= 0).all(0).double().mean()
    return share


def two_patterns(kind: str = SETS[0], seed: int = 0) -> tuple[Data, Tensor]:
    r"""Return digits under pixel noise that carry a synthetic patch, and patches to test on.

    A row has 64 noisy pixels and 16 inputs more, the patch.  Of 1,000 training rows a fifth has
    pixels only, 16 % a patch only, the rest both; what is missing is 0.  The patch of class c
    is :math:`z + \zeta_c` or :math:`z - \zeta_c` at random, with :math:`z` far longer than
    :math:`\zeta_c`: it has no noise, but a linear function gets about half of them right at most,
    since two classes cannot both own the centre.

    Parameters
    ----------
    kind : {"digits and patches", "digits alone"}
        The second has the same pixels without patches; rows that held a patch alone are left out.
    seed : int
        Of all that is drawn.

    Returns
    -------
    tuple of (Data, Tensor)
        Training rows; 797 validation rows with pixels only.  The same, as patches only.

    References
    ----------
    After the idea of Li, Wei and Ma, 2019.

    Examples
    --------
    >>> data, patches = two_patterns()
    >>> data.x_train.shape, bool((data.x_val[:, 64:] == 0).all())
    (torch.Size([1000, 80]), True)
    """
    import torch
    from sklearn.datasets import load_digits

    from lrcourse.data import Data

    choice("kind", kind, SETS)
    rng, n = np.random.default_rng(count("seed", seed)), 1000
    x, y = load_digits(return_X_y=True)
    order = rng.permutation(len(x))
    x, y = ((x - x.mean()) / x.std())[order], y[order]
    pixels = x + rng.normal(0, 1, x.shape)
    centre, shift = rng.normal(0, 1.5, PATCH), rng.normal(0, 0.3, (10, PATCH))
    patch = centre + rng.choice([-1, 1], (len(y), 1)) * shift[y]
    holds = rng.choice(3, (len(y), 1), p=[0.2, 0.16, 0.64])  # pixels, a patch, both
    none = np.zeros_like(patch)

    def rows(first: NDArray[Any], second: NDArray[Any]) -> Tensor:
        return torch.tensor(np.hstack([first, second]).astype(np.float32))

    train = rows(np.where(holds == 1, 0, pixels), np.where(holds == 0, 0, patch))[:n]
    labels = torch.tensor(y)
    kept = torch.ones(n, dtype=torch.bool)
    if kind == SETS[1]:
        train[:, -PATCH:] = 0
        kept = torch.tensor(holds[:n, 0] != 1)
    unseen = rows(pixels, none)[n:], labels[n:]
    data = Data(kind, train[kept], labels[:n][kept], *unseen)
    return data, rows(0 * pixels, patch)[n:]


def learned(kind: str, plan: str, seed: int, lr: Sequence[float], steps: int) -> xr.Dataset:
    """Train on rows with two patterns, at several rates.

    Parameters
    ----------
    kind : str
        One of `SETS`.
    plan : str
        One of `PLANS`; the second divides the rate by 10 after a quarter of the updates.
    seed : int
    lr : sequence of float
    steps : int

    Returns
    -------
    xarray.Dataset
        ``train_loss``, ``pixels`` and ``patches``, mistakes in percent on unseen rows that have
        these alone, over lr and eval_step.
    """
    from lrcourse.models import mlp
    from lrcourse.schedules import MultiStep
    from lrcourse.sweeps import sweep

    choice("plan", plan, PLANS)
    data, patches = two_patterns(kind, seed)
    schedule = MultiStep(1.0, [steps // 4] if plan == PLANS[1] else [], 0.1)
    runs = sweep(
        partial(mlp, (64 + PATCH, 256, 10), "relu"), data, lr=list(lr), schedule=schedule,
        seed=[seed], steps=steps, batch_size=BATCH, eval_every=max(1, steps // 80),
        measures={"patches": partial(wrong_on, patches, data.y_val)},
        engine="batched", progress=False,
    )  # fmt: skip
    runs["pixels"] = 100 * (1 - runs.val_accuracy)
    return runs[["train_loss", "pixels", "patches"]].isel(seed=0, drop=True)


def at_equal_loss(runs: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable at the first evaluation whose training loss is at most 0.1; NaN if none.

    Parameters
    ----------
    runs : Dataset over eval_step, and others
        With ``train_loss``.
    name : str
        Of the variable.

    Returns
    -------
    DataArray

    Examples
    --------
    >>> import xarray as xr
    >>> values = {"train_loss": ("eval_step", [1.0, 0.09]), "pixels": ("eval_step", [80.0, 20.0])}
    >>> at_equal_loss(xr.Dataset(values), "pixels").item()
    20.0
    """
    there = runs.train_loss <= EQUAL_LOSS
    found: xr.DataArray = runs[name].isel(eval_step=there.argmax("eval_step"))
    return found.drop_vars("eval_step", errors="ignore").where(there.any("eval_step"))


def rescaled(model: nn.Module, factor: float) -> nn.Module:
    r"""Return a copy with the first layer times a factor and the last divided by it.

    For a ReLU network with one hidden layer it is the same function, since
    :math:`\mathrm{relu}(ah) = a\,\mathrm{relu}(h)` for a > 0.  With a power of 2 no bit of an
    output changes.

    Parameters
    ----------
    model : torch.nn.Sequential
        As ``mlp((inputs, units, outputs), "relu")`` builds it.
    factor : float
        Above 0.

    Returns
    -------
    torch.nn.Sequential

    Raises
    ------
    ValueError
        A factor that is not above 0, or another network.

    References
    ----------
    Dinh et al., 2017.

    Examples
    --------
    >>> import torch
    >>> model, x = network("32 units")(), torch.ones(1, 64)
    >>> bool((rescaled(model, 8)(x) == model(x)).all())
    True
    """
    import copy

    import torch
    from torch import nn

    number("factor", factor, low=0, open_low=True)
    layers = list(model.children())
    if [type(layer) for layer in layers] != [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]:
        raise ValueError(f"model must be an mlp with one hidden layer of ReLU, was {model!r:.80}")
    other = copy.deepcopy(model)
    first, last = other[1], other[3]  # type: ignore[index]
    with torch.no_grad():
        for values in (first.weight, first.bias):
            values *= factor
        last.weight /= factor
    return other


@cache
def _trained(seed: int) -> nn.Module:
    from lrcourse.training import fit

    plan: dict[str, Any] = {"lr": TWIN_LR, "steps": 1000, "batch_size": BATCH, "seed": seed}
    model = fit(network("256 units"), three_parts(seed=seed)[0], progress=False, **plan).model
    assert model is not None
    return model


def twin(factor: float, seed: int, steps: int = 200) -> dict[str, Any]:
    """Rescale a trained network, measure it, and train it on as before.

    The network of 256 units has made 1,000 updates at rate 0.2 on true labels.

    Parameters
    ----------
    factor : float
        Of `rescaled`.
    seed, steps : int
        Of the run, and how long it goes on.

    Returns
    -------
    dict
        ``sharpness``, and ``limit``, 2 over it; ``test``, mistakes in percent, before and after
        going on (``later``), and ``way``, every 5 updates between; ``same``, whether every output
        is the same bit by bit.

    Examples
    --------
    >>> pair = twin(1.0, seed=0, steps=1), twin(16.0, seed=0, steps=1)
    >>> bool(pair[1]["same"]), pair[1]["sharpness"] > 90 * pair[0]["sharpness"]
    (True, True)
    """
    import torch

    from lrcourse.curvature import sharpness
    from lrcourse.training import fit

    data, x_test, y_test = three_parts(seed=seed)
    model = _trained(seed)
    other = rescaled(model, factor)
    with torch.no_grad():
        same = bool((other(x_test) == model(x_test)).all())
        test = float(wrong_on(x_test, y_test, other, data))
    sharp = sharpness(other, data, tol=0.01)
    measures = {"way": partial(wrong_on, x_test, y_test)}
    plan: dict[str, Any] = {"lr": TWIN_LR, "batch_size": BATCH, "seed": seed, "eval_every": EVERY}
    on = fit(other, data, steps=steps, measures=measures, progress=False, **plan)
    return {
        "sharpness": sharp,
        "limit": 2 / sharp,
        "test": test,
        "same": float(same),
        "way": ("eval_step", on.measures["way"]),
        "later": on.measures["way"][-1],
    }


def said_of_twins(runs: xr.Dataset) -> xr.DataArray:
    """Return what a rescaled network shares with the one it was made from.

    Parameters
    ----------
    runs : Dataset over factor, with 1 among them, and seed
        From `twin`.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> values = {"sharpness": [2.0, 200.0], "test": [3.5, 3.5], "later": [3.5, 9.0]}
    >>> rows = {k: (("factor", "seed"), [[a] for a in v]) for k, v in values.items()}
    >>> said_of_twins(xr.Dataset(rows, {"factor": [1.0, 16.0]})).values[1]
    'The same function, 3.5 % mistakes; sharpness times 100. Trained on, it ends at 9 %.'
    """
    sharp, test, later = (middle(runs[n], better="low") for n in ("sharpness", "test", "later"))

    def words(now: float, then: float, test: float, later: float) -> str:
        times = now / then
        if times == 1:
            text = f"The network as it was trained, {share_of(test)} mistakes."
        else:
            text = (
                f"The same function, {share_of(test)} mistakes; "
                f"sharpness times {in_words(times, 2)}."
            )
        end = f"ends at {share_of(later)}" if np.isfinite(later) else "diverges"
        return f"{text} Trained on, it {end}."

    return each_state(words, sharp, sharp.sel(factor=1, drop=True), test, later)


def paired(one: xr.DataArray, other: xr.DataArray) -> tuple[float, float]:
    """Return the mean difference of runs with the same seed, and its standard error.

    Parameters
    ----------
    one, other : DataArray over seed

    Returns
    -------
    tuple of two floats
        NaN where fewer than two seeds have both.

    Examples
    --------
    >>> import xarray as xr
    >>> one, other = (xr.DataArray(v, dims="seed") for v in ([3.0, 5.0], [2.0, 2.0]))
    >>> paired(one, other)
    (2.0, 1.0)
    """
    apart = (one - other).dropna("seed").values
    if len(apart) < 2:
        return np.nan, np.nan
    return float(apart.mean()), float(apart.std(ddof=1) / len(apart) ** 0.5)


def plus_minus(mean: float, error: float) -> str:
    """Write a difference and its standard error, in a way that no line breaks.

    Parameters
    ----------
    mean, error : float

    Returns
    -------
    str

    Examples
    --------
    >>> plus_minus(-0.81, 0.52).replace("\\u00a0", " ")
    '−0.8 ± 0.5'
    """
    return f"{mean:+.1f}\u00a0±\u00a0{error:.1f}".replace("-", "−")


def sampling_error(percent: float, rows: int) -> float:
    r"""Return the standard error of a share of mistakes, in points.

    :math:`100\sqrt{p(1-p)/n}`, for n rows drawn independently.

    Parameters
    ----------
    percent : float
        From 0 to 100.
    rows : int

    Returns
    -------
    float

    Examples
    --------
    >>> round(sampling_error(4, 997), 2)
    0.62
    """
    p = number("percent", percent, low=0, high=100) / 100
    return float(100 * (p * (1 - p) / count("rows", rows, low=1)) ** 0.5)


def said_of_rates(runs: xr.Dataset) -> xr.DataArray:
    """Return whether the median run underfits or overfits where it is read.

    It overfits if it made fewer mistakes on test digits earlier on its way, by more than a point,
    and underfits if it makes fewer later.  "Stopped early" is the point that validation chose.

    Parameters
    ----------
    runs : Dataset over compared, lr and seed, and others
        With ``test``, ``train`` and ``updates``, from `compared`.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> dims = {"compared": list(COMPARED[3:]), "lr": [0.1], "seed": [0]}
    >>> values = {"test": [33.0, 15.0], "train": [2.0, 36.0], "updates": [900.0, 80.0]}
    >>> runs = xr.Dataset({k: (list(dims), [[[a]] for a in v]) for k, v in values.items()}, dims)
    >>> said_of_rates(runs).values[0, 0][:54]
    'Overfits: 33 % of the test digits wrong, 2 % of the tr'
    """
    at = {name: middle(runs[name], better="low") for name in ("test", "train", "updates")}
    stop = {name: values.sel(compared=COMPARED[4], drop=True) for name, values in at.items()}

    def words(where: str, test: float, train: float, when: float, best: float, first: float) -> str:
        if not np.isfinite(test):
            return "The median run does not get there: its training loss stays above 0.1."
        shares = (
            f"{share_of(test)} of the test digits wrong, {share_of(train)} of the training labels"
        )
        if where == COMPARED[4]:
            return f"Stopped after {in_words(when)} updates: {shares}."
        if test - best <= 1:
            return f"Fits, within a point of the same run stopped early: {shares}."
        if when < first:
            return f"Underfits: {shares}. Stopped early, the same run will be at {share_of(best)}."
        if train > 50:
            return f"Learns hardly anything: {shares}."
        return f"Overfits: {shares}. Stopped early, the same run was at {share_of(best)}."

    return each_state(
        words, at["test"].compared, at["test"], at["train"], at["updates"],
        stop["test"], stop["updates"],
    )  # fmt: skip


def named(runs: xr.Dataset) -> xr.Dataset:
    """Return a recorded cube with its coordinates in words, as explorers and handles name them.

    Parameters
    ----------
    runs : Dataset over noise and compared, and others

    Returns
    -------
    Dataset

    Examples
    --------
    >>> import xarray as xr
    >>> runs = xr.Dataset(coords={"noise": [0.0, 0.4], "compared": list(COMPARED[1:4:2])})
    >>> named(runs).noise.values.tolist(), named(runs).compared.values.tolist()
    (['true labels', 'noisy labels'], ['1000 updates', 'training loss 0.1'])
    """
    readings = dict(zip(COMPARED, READINGS, strict=True))
    runs = runs.assign_coords(
        noise=[LABELS[float(share)] for share in runs.noise.values],
        compared=[readings[str(point)] for point in runs.compared.values],
    )
    for name, words in {"noise": "labels", "compared": "read at"}.items():
        runs[name].attrs["long_name"] = words
    return runs


def share_of(percent: float) -> str:
    """Write a share of mistakes.

    >>> share_of(2.44), share_of(31.2), share_of(0)
    ('2.4 %', '31 %', '0 %')
    """
    text = f"{percent:.1f}".removesuffix(".0") if percent < 9.95 else f"{percent:.0f}"
    return f"{text} %"


def said_of_curvatures(sharpness: xr.DataArray, test: xr.DataArray) -> xr.DataArray:
    """Return how much flatter rate 0.7 ends than rate 0.1, and how much better or worse.

    Parameters
    ----------
    sharpness, test : DataArray over lr and seed, and others
        Mistakes in percent.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> dims = {"noise": [0.0], "lr": [0.1, 0.7], "seed": [0]}
    >>> sharp = xr.DataArray([[[8.0], [2.0]]], dims)
    >>> said_of_curvatures(sharp, xr.DataArray([[[30.0], [31.5]]], dims)).item()
    'From rate 0.1 to 0.7: sharpness divided by 4, and 1.5 points more mistakes.'
    """
    ends = [middle(values, better="low") for values in (sharpness, test)]
    low, high = ([values.sel(lr=lr, drop=True) for values in ends] for lr in (0.1, 0.7))

    def words(first: float, last: float, before: float, after: float) -> str:
        change = round(after - before, 1)
        points = f"{abs(change):g} point{'s' * (abs(change) != 1)}"
        more = f"{points} {'more' if change > 0 else 'fewer'} mistakes" if change else "no change"
        return (
            f"From rate 0.1 to 0.7: sharpness divided by {in_words(first / last, 2)}, and {more}."
        )

    return each_state(words, low[0], high[0], low[1], high[1])


def said_of_catapults(runs: xr.Dataset) -> xr.DataArray:
    """Return what each rate did to the loss and to the sharpness.

    Parameters
    ----------
    runs : Dataset over lr and seed, step and eval_step
        From `catapult`.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> runs = xr.Dataset(
    ...     {
    ...         "loss": (("lr", "seed", "step"), [[[0.1, 0.5, 0.02]]]),
    ...         "sharpness": (("lr", "seed", "eval_step"), [[[7.0, 0.7]]]),
    ...         "val": (("lr", "seed", "eval_step"), [[[90.0, 3.0]]]),
    ...     },
    ...     {"lr": [4.0]},
    ... )
    >>> said_of_catapults(runs).item()[:64]
    'A catapult: the loss rises to 5 times its start and comes back. '
    """
    first, last = (middle(runs.loss.isel(step=i, drop=True), better="low") for i in (0, -1))
    top = middle(runs.loss.max("step") / runs.loss.isel(step=0, drop=True), better="low")
    sharp = [middle(runs.sharpness.isel(eval_step=i, drop=True), better="low") for i in (0, -1)]
    wrong = middle(runs.val.isel(eval_step=-1, drop=True), better="low")

    def words(
        start: float, end: float, top: float, before: float, after: float, wrong: float
    ) -> str:
        if not np.isfinite(end):
            return "The median run diverges."
        left = f"The sharpness ends at {100 * after / before:.0f} % of its start."
        if top < 1.05:
            return f"No catapult: the loss never rises above its start. {left}"
        rise = f"the loss rises to {in_words(top, 2)} times its start"
        if wrong > 50:
            return f"Thrown away: {rise}, and {wrong:.0f} % of the unseen digits end wrong."
        return f"A catapult: {rise} and comes back. {left}"

    return each_state(words, first, last, top, *sharp, wrong)


def said_of_patterns(runs: xr.Dataset) -> xr.DataArray:
    """Return which of two patterns a run has learned when it ends.

    Parameters
    ----------
    runs : Dataset over kind, lr and seed, eval_step, and others
        From `learned`.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> shape = ("kind", "lr", "seed", "eval_step"), [[[[20.0, 22.0]]]]
    >>> runs = xr.Dataset({"pixels": shape, "patches": shape}, {"kind": [SETS[0]]})
    >>> said_of_patterns(runs).item()
    'Digits alone: 22 % wrong at the end, 20 % at the lowest point. Patches alone: 22 % wrong.'
    """
    pixels, patches = (
        middle(runs[name].isel(eval_step=-1, drop=True), better="low")
        for name in ("pixels", "patches")
    )
    lowest = middle(runs.pixels.min("eval_step"), better="low")

    def words(kind: str, pixels: float, lowest: float, patches: float) -> str:
        text = f"Digits alone: {pixels:.0f} % wrong at the end, {lowest:.0f} % at the lowest point."
        if kind == SETS[1]:
            return f"{text} There are no patches to learn."
        if patches > 50:
            return f"{text} The patches are not learned: {patches:.0f} % wrong."
        return f"{text} Patches alone: {patches:.0f} % wrong."

    return each_state(words, pixels.kind, pixels, lowest, patches)


@exercise(
    cases=[
        {"output": 2.0, "curvature": 3.0, "lr": 0.5, "width": 10},
        {"output": -1.0, "curvature": 1.5, "lr": 2.0, "width": 100},
        {"output": 30.0, "curvature": 2.0, "lr": 1.5, "width": 1000},
        {"output": 0.5, "curvature": 8.0, "lr": 0.75, "width": 4},
    ]
)
def catapult_step(output: float, curvature: float, lr: float, width: int) -> tuple[float, float]:
    """Output and curvature of the smallest network, f = u·v/√n, after one step on f²/2.

    >>> catapult_step(output=2.0, curvature=3.0, lr=1.0, width=16)
    (-3.5, 2.75)
    """
    grown = lr**2 * output**2 / width
    new_output = (1 - lr * curvature + grown) * output
    return new_output, curvature + lr * output**2 / width * (lr * curvature - 4)


@catapult_step.mistake(
    "The output of a parabola with a fixed curvature. In the network both layers move, which adds "
    "η² f³ / n."
)
def _fixed(output: float, curvature: float, lr: float, width: int) -> tuple[float, float]:
    right = catapult_step(output, curvature, lr, width)
    return (1 - lr * curvature) * output, right[1]


@catapult_step.mistake("Both are of the old output: keep f until the curvature is done.")
def _in_turn(output: float, curvature: float, lr: float, width: int) -> tuple[float, float]:
    new = catapult_step(output, curvature, lr, width)[0]
    return new, curvature + lr * new**2 / width * (lr * curvature - 4)


@catapult_step.mistake("The sign: below 4/λ the curvature must fall, so the bracket is ηλ − 4.")
def _turned(output: float, curvature: float, lr: float, width: int) -> tuple[float, float]:
    new = catapult_step(output, curvature, lr, width)[0]
    return new, curvature - lr * output**2 / width * (lr * curvature - 4)


@catapult_step.mistake("The curvature changes by a share that falls with the width: divide by n.")
def _no_width(output: float, curvature: float, lr: float, width: int) -> tuple[float, float]:
    new = catapult_step(output, curvature, lr, width)[0]
    return new, curvature + lr * output**2 * (lr * curvature - 4)
