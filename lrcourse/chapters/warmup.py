"""What the chapter on warmup needs and no other.

Its networks, the first steps of Adam under several cures, what the states of its explorers mean in
words, and its exercises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import choice
from lrcourse.exercises.checking import exercise
from lrcourse.explore.words import each_state, in_words
from lrcourse.results import final, good_range, middle, off_plan
from lrcourse.schedules import Constant, LinearWarmup, warmup

if TYPE_CHECKING:
    import torch
    import xarray as xr
    from torch import Tensor, nn
    from torch.optim import Optimizer

DEEP = (64, 128, 128, 128, 10)
NETWORKS: dict[str, dict[str, Any]] = {
    "Adam, deep network": {"optimizer": "adam", "batch_size": 128},
    "Adam, encoder": {"optimizer": "adam", "batch_size": 32},
    "SGD + momentum": {"momentum": 0.9, "batch_size": 256},
    "SGD + momentum, BatchNorm": {"momentum": 0.9, "batch_size": 256},
}
STARTS: dict[str, dict[str, Any]] = {
    "no warmup": {},
    "20 updates of warmup": {"warmup": 20},
    "v starts at g²": {"rule": "from g²"},
    "larger ε": {"eps": 0.01},
    "RAdam": {"rule": "RAdam"},
    "SGD without warmup": {"rule": "SGD"},
    "SGD with warmup": {"rule": "SGD", "warmup": 20},
}
RUNS = {  # Adam's β2, and the length of the run in units of 200 updates
    "β₂ = 0.9": (0.9, 1),
    "β₂ = 0.99": (0.99, 1),
    "β₂ = 0.999": (0.999, 1),
    "β₂ = 0.999, 800 updates": (0.999, 4),
}
TRAINS = 20.0  # a run that gets at most so many percent of the unseen digits wrong has trained
PER_EPOCH, EPOCHS, WARMUP = 10, 20, 20  # of the ramps: 10 batches of 128 are an epoch
BETA1, BETA2 = 0.9, 0.999
LIMIT = 2 * (1 + BETA1)  # of rate times curvature with momentum


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
    >>> type(network("SGD + momentum, BatchNorm")()[2]).__name__
    'BatchNorm1d'
    """
    from lrcourse.models import encoder, mlp

    choice("name", name, NETWORKS)
    if name == "Adam, encoder":
        return partial(encoder, width=16)
    return normalised if "BatchNorm" in name else partial(mlp, DEEP, "relu")


def normalised() -> nn.Module:
    """Build the deep network with batch normalisation before each ReLU.

    Returns
    -------
    torch.nn.Sequential

    Examples
    --------
    >>> len(normalised())
    11
    """
    from torch import nn

    from lrcourse.models import mlp

    layers: list[nn.Module] = []
    for layer in mlp(DEEP, "relu"):
        if isinstance(layer, nn.ReLU):
            layers.append(nn.BatchNorm1d(layers[-1].out_features))  # type: ignore[arg-type]
        layers.append(layer)
    return nn.Sequential(*layers)


def optimizer_of(parameters: Iterable[Tensor], rule: str = "Adam", eps: float = 1e-8) -> Optimizer:
    """Return the torch optimizer of one of the ways to start.

    Parameters
    ----------
    parameters : iterable of torch.Tensor
    rule : {"Adam", "from g²", "RAdam", "SGD"}
        "from g²" is Adam whose second moment starts at the square of the first gradient, not at 0,
        with the usual correction for a start at 0 (Kalra and Barkeshli, 2024, call it GI-Adam).
    eps : float
        Of Adam.

    Returns
    -------
    torch.optim.Optimizer

    Examples
    --------
    >>> import torch
    >>> w = torch.tensor([0.0], requires_grad=True)
    >>> w.grad = torch.tensor([3.0])
    >>> optimizer = optimizer_of([w], "from g²")
    >>> optimizer.param_groups[0]["lr"] = 1.0
    >>> optimizer.step()
    >>> round(w.item(), 4)  # without the start at g² it is -1: (1 - 0.999) ** 0.5
    -0.0316
    """
    from torch import optim

    choice("rule", rule, ("Adam", "from g²", "RAdam", "SGD"))
    if rule == "SGD":
        return optim.SGD(parameters, lr=0.0, momentum=BETA1)
    if rule == "RAdam":
        return optim.RAdam(parameters, lr=0.0, betas=(BETA1, BETA2))
    made = optim.Adam(parameters, lr=0.0, betas=(BETA1, BETA2), eps=eps)
    if rule == "from g²":
        made.register_step_pre_hook(_start_at_squares)
    return made


def _start_at_squares(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    import torch

    for group in optimizer.param_groups:
        for p in group["params"]:
            if not optimizer.state[p]:
                optimizer.state[p] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": p.grad.square(),
                }


def first_steps(
    start: str, lr: float, seed: int, steps: int = 200, probes: Iterable[int] = ()
) -> dict[str, Any]:
    r"""Train the deep network from one start, and measure its curvature before some updates.

    Starts and batches are those of `lrcourse.fit`.  Curvature is that of the loss of the update's
    own batch: the sharpness, the largest eigenvalue of its Hessian H, and for Adam that of
    :math:`D^{-1} H`, where D holds the divisors of the update.

    Parameters
    ----------
    start : str
        A key of `STARTS`.
    lr : float
        The peak rate.
    seed, steps : int
    probes : iterable of int
        The updates before which curvature is measured.

    Returns
    -------
    dict
        ``loss`` of each batch; ``size``, the root mean square of each update over `lr`; over
        ``probe``, ``sharpness`` and ``share``, rate times curvature over what settles with
        momentum 0.9; ``val_accuracy`` and ``diverged_at`` as in a sweep.  What comes after
        divergence is NaN.

    Examples
    --------
    >>> run = first_steps("no warmup", lr=0.01, seed=0, steps=2, probes=[0])
    >>> run["size"][1].round(1)[0]  # a step of about one rate, up or down, in every weight
    np.float64(1.0)
    """
    import copy
    from dataclasses import replace

    from lrcourse.curvature import divisors, preconditioned_sharpness, sharpness
    from lrcourse.data import digits
    from lrcourse.models import mlp
    from lrcourse.randomness import batches, seeded
    from lrcourse.training import evaluate

    how = STARTS[choice("start", start, STARTS)]
    rule, probes = how.get("rule", "Adam"), list(probes)
    plan, data = warmup(Constant(lr), how.get("warmup", 0)), digits()
    model = seeded(partial(mlp, DEEP, "relu"), seed)
    optimizer = optimizer_of(model.parameters(), rule, how.get("eps", 1e-8))
    loss, size = np.full((2, steps), np.nan)
    sharp, share = np.full((2, len(probes)), np.nan)
    rows = batches(len(data.x_train), 256 if rule == "SGD" else 128, steps, seed)
    ended, accuracy = -1, np.nan
    for t in range(steps):
        batch = replace(data, x_train=data.x_train[rows[t]], y_train=data.y_train[rows[t]])
        optimizer.param_groups[0]["lr"] = rate = float(plan(t))
        optimizer.zero_grad()
        value = batch.loss_of(model(batch.x_train), batch.y_train)
        loss[t] = value.item()
        if not loss[t] < 1e4 * max(1.0, loss[0]):
            ended = t
            break
        value.backward()  # type: ignore[no-untyped-call]
        before, w = copy.deepcopy(model) if t in probes else None, _flat(model)
        optimizer.step()
        size[t] = float((_flat(model) - w).square().mean().sqrt()) / lr
        if before is None:
            continue
        at = probes.index(t)
        sharp[at] = felt = _or_nan(sharpness, before, batch)
        if rule != "SGD":
            divided = _or_nan(preconditioned_sharpness, before, batch, divisors(optimizer))
            felt = (1 - BETA1) * divided
        share[at] = rate * felt / LIMIT
    else:
        accuracy = evaluate(model, data)[2]
    return {
        "loss": ("step", loss),
        "size": ("step", size),
        "sharpness": ("probe", sharp),
        "share": ("probe", share),
        "val_accuracy": accuracy,
        "diverged_at": ended,
    }


def _flat(model: nn.Module) -> torch.Tensor:
    from torch.nn.utils import parameters_to_vector

    return parameters_to_vector(model.parameters()).detach()


def _or_nan(measure: Callable[..., float], *args: Any) -> float:
    """Return a curvature, NaN where the run is lost and has none."""
    try:
        return measure(*args, tol=0.02)
    except (RuntimeError, ValueError, np.linalg.LinAlgError):
        return np.nan


def mistakes(runs: xr.Dataset) -> xr.DataArray:
    """Return the unseen digits that runs get wrong, in percent.

    Parameters
    ----------
    runs : Dataset
        With ``val_accuracy``, and ``diverged_at``.

    Returns
    -------
    DataArray
        NaN for a run that diverged.

    Examples
    --------
    >>> import xarray as xr
    >>> runs = xr.Dataset({"val_accuracy": ("lr", [0.98, 0.5]), "diverged_at": ("lr", [-1, 3])})
    >>> mistakes(runs).values.round(3)
    array([ 2., nan])
    """
    if "eval_step" in runs.val_accuracy.dims:
        right = final(runs, "val_accuracy")
    else:
        right = runs.val_accuracy.where(runs.diverged_at < 0)
    wrong: xr.DataArray = 100 * (1 - right)
    return wrong.rename("mistakes").assign_attrs(long_name="mistakes (%)", better="low")


def largest(wrong: xr.DataArray) -> xr.DataArray:
    """Return the largest rate at which the median run trains, as do all between it and the best.

    Parameters
    ----------
    wrong : DataArray over lr and seed, and others
        From `mistakes`.

    Returns
    -------
    DataArray
        NaN where no rate trains.

    Examples
    --------
    >>> import xarray as xr
    >>> wrong = xr.DataArray([[2.0], [19.0], [90.0]], {"lr": [0.1, 0.2, 0.3]}, ["lr", "seed"])
    >>> largest(wrong).item()
    0.2
    """
    found: xr.DataArray = good_range(middle(wrong, better="low"), level=TRAINS, better="low").high
    return found.rename("largest rate that trains")


def at_its_best(wrong: xr.DataArray) -> tuple[int, float, tuple[float, float, float]]:
    """Return the warmup and the rate whose median run makes the fewest mistakes, and how many.

    Parameters
    ----------
    wrong : DataArray over warmup_steps, lr and seed
        From `mistakes`.

    Returns
    -------
    tuple of (int, float, (float, float, float))
        Updates of warmup, rate, and the median, least and most mistakes of the seeds there.

    Examples
    --------
    >>> import xarray as xr
    >>> dims = {"warmup_steps": [0, 20], "lr": [0.1, 0.2]}
    >>> wrong = xr.DataArray([[[5.0, 6], [4, 9]], [[2, 3], [8, 8]]], dims, [*dims, "seed"])
    >>> at_its_best(wrong)
    (20, 0.1, (2.5, 2.0, 3.0))
    """
    medians = middle(wrong, better="low")
    at = medians.argmin(["warmup_steps", "lr"])
    seeds, place = wrong.isel(at), medians.isel(at)
    spread = place.item(), seeds.min().item(), seeds.max().item()
    return place.warmup_steps.item(), place.lr.item(), spread


def said_of_rates(wrong: xr.DataArray) -> xr.DataArray:
    """Return what each state of the figures by rate means.

    Parameters
    ----------
    wrong : DataArray over warmup_steps, lr and seed, and others
        From `mistakes`; warmup_steps begins with 0.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> dims = {"warmup_steps": [0, 20], "lr": [0.1, 0.2]}
    >>> wrong = xr.DataArray([[[2.0], [90.0]], [[2.0], [3.0]]], dims, [*dims, "seed"])
    >>> said_of_rates(wrong).values[1, 1]
    'It trains: 3 % mistakes. Without warmup it does not: 90 % mistakes.'
    """

    def words(wrong: float, without: float, warmup_steps: float) -> str:
        text, none = ending(wrong), ending(without)
        trains, did = wrong <= TRAINS, without <= TRAINS
        if warmup_steps == 0:
            return f"It {'trains' if trains else 'does not train'}: {text}."
        if trains and did:
            change = without - wrong
            small = "Without warmup it ends level, within 1 point."
            side = "fewer" if change > 0 else "more"
            points = f"{abs(change):.0f} point{'s' * (abs(change) >= 1.5)}"
            more = f"That is {points} {side} than without warmup."
            return f"It trains: {text}. {small if abs(change) < 1 else more}"
        if trains:
            return f"It trains: {text}. Without warmup it does not: {none}."
        if did:
            return f"It does not train: {text}. Without warmup it does: {none}."
        return f"It does not train, with this warmup or without: {text}."

    ended = middle(wrong, better="low")
    return each_state(words, ended, ended.isel(warmup_steps=0, drop=True), ended.warmup_steps)


def ending(wrong: float) -> str:
    """Write what a median run comes to.

    >>> ending(2.44), ending(float("inf"))
    ('2.4 % mistakes', 'it diverges')
    """
    return f"{share_of(wrong)} mistakes" if np.isfinite(wrong) else "it diverges"


def share_of(wrong: float) -> str:
    """Write a share of mistakes.

    >>> share_of(2.44), share_of(31.2)
    ('2.4 %', '31 %')
    """
    return f"{wrong:.1f}".removesuffix(".0") + " %" if wrong < 9.95 else f"{wrong:.0f} %"


RAMPS = {  # what was planned, and what each loop makes of it in words
    "linear": ("linear", "The rate rises in equal steps, as planned."),
    "constant": ("constant", "A third of the rate, then all of it, as planned."),
    "none": ("none", "The full rate from the first update on, as planned."),
    "begins at rate 0": ("linear", "The first update uses rate 0 and moves nothing."),
    "one epoch late": (
        "by epochs",
        "The first epoch runs at the full rate, and only then the rate falls to begin its rise.",
    ),
    "stepped once an epoch": ("linear", "The rise takes the whole run: 20 epochs, not 20 updates."),
    "counted in epochs": ("linear", "The rise is over after two updates; two epochs were meant."),
}


def planned(plan: str, lr: float) -> NDArray[np.float64]:
    """Return the planned rate of every update of a ramp.

    Parameters
    ----------
    plan : {"linear", "constant", "none", "by epochs"}
    lr : float
        The peak.

    Returns
    -------
    ndarray of float, shape (200,)

    Examples
    --------
    >>> planned("linear", 2.1)[[0, 1, 19, 20, 199]].round(3)
    array([0.1, 0.2, 2. , 2.1, 2.1])
    >>> planned("by epochs", 3.0)[[0, 9, 10, 20]]
    array([1., 1., 2., 3.])
    """
    t = np.arange(EPOCHS * PER_EPOCH)
    if plan == "linear":
        return LinearWarmup(lr, WARMUP)(t)
    if plan == "constant":
        return np.where(t < WARMUP, lr / 3, lr)
    if plan == "none":
        return np.full(len(t), float(lr))
    epochs = WARMUP // PER_EPOCH + 1
    return lr * np.minimum(t // PER_EPOCH + 1, epochs) / epochs


def ramp(how: str, lr: float, seed: int) -> dict[str, Any]:
    """Train the deep network with Adam in a loop that warms its rate up in one of several ways.

    Starts and batches are those of `lrcourse.fit`; ten batches of 128 are called an epoch.

    Parameters
    ----------
    how : str
        A key of `RAMPS`.
    lr : float
        The peak.
    seed : int

    Returns
    -------
    dict
        ``used`` and ``planned``, the rates of each update, and ``mistakes`` by epoch, in percent.

    Examples
    --------
    >>> ramp("begins at rate 0", 0.01, 0)["used"][1][:3].round(4)
    array([0.    , 0.0005, 0.001 ])
    """
    from torch.optim import Adam
    from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LinearLR

    from lrcourse.data import digits
    from lrcourse.models import mlp
    from lrcourse.randomness import batches, seeded
    from lrcourse.training import plain_loop

    data, model = digits(), seeded(partial(mlp, DEEP, "relu"), seed)
    rows = batches(len(data.x_train), 128, EPOCHS * PER_EPOCH, seed)
    optimizer = Adam(model.parameters(), lr=lr)
    first, plan = 1 / (WARMUP + 1), planned(RAMPS[choice("how", how, RAMPS)][0], lr)
    late = iter(plan[PER_EPOCH - 1 :: PER_EPOCH])

    def set_late() -> None:
        """Set the rate of the epoch when the epoch is over."""
        optimizer.param_groups[0]["lr"] = next(late)

    hooks: dict[str, Callable[[], object]] = {}
    if how == "linear":
        hooks["batch_ends"] = LinearLR(optimizer, first, total_iters=WARMUP).step
    elif how == "constant":
        hooks["batch_ends"] = ConstantLR(optimizer, 1 / 3, total_iters=WARMUP).step
    elif how == "begins at rate 0":
        hooks["batch_ends"] = LambdaLR(optimizer, lambda t: min(1.0, t / WARMUP)).step
    elif how == "stepped once an epoch":
        hooks["epoch_ends"] = LinearLR(optimizer, first, total_iters=WARMUP).step
    elif how == "counted in epochs":
        hooks["batch_ends"] = LinearLR(optimizer, 1 / 3, total_iters=WARMUP // PER_EPOCH).step
    elif how == "one epoch late":
        hooks["epoch_ends"] = set_late
    recorder, accuracy = plain_loop(model, data, optimizer, rows, per_epoch=PER_EPOCH, **hooks)
    return {
        "used": ("step", recorder.used[:, 0]),
        "planned": ("step", plan),
        "mistakes": ("epoch", 100 * (1 - accuracy)),
    }


@exercise(
    cases=[
        *({"t": t, "lr": 0.6, "warmup_steps": 5} for t in (0, 1, 4, 5, 6, 50)),
        {"t": 0, "lr": 0.1, "warmup_steps": 0},
        {"t": 3, "lr": 0.1, "warmup_steps": 0},
        {"t": 0, "lr": 1.0, "warmup_steps": 1},
    ]
)
def warmed_up(t: int, lr: float, warmup_steps: int) -> float:
    """The rate of update t, which rises in equal steps and first is lr at t = warmup_steps.

    >>> warmed_up(t=0, lr=1.0, warmup_steps=4)
    0.2
    """
    return lr * min(1.0, (t + 1) / (warmup_steps + 1))


@warmed_up.mistake(
    "The first update has rate 0 and moves nothing. Begin one step above 0: (t + 1) / (W + 1)."
)
def _from_zero(t: int, lr: float, warmup_steps: int) -> float:
    return lr * min(1.0, t / warmup_steps) if warmup_steps else lr


@warmed_up.mistake("The full rate comes one update early: with t + 1 above, W + 1 stands below.")
def _one_early(t: int, lr: float, warmup_steps: int) -> float:
    return lr * min(1.0, (t + 1) / warmup_steps) if warmup_steps else lr


@warmed_up.mistake("After the warmup the rate keeps rising. Stop it at lr, with min.")
def _never_stops(t: int, lr: float, warmup_steps: int) -> float:
    return lr * (t + 1) / (warmup_steps + 1)


@warmed_up.mistake("The rate stays at its first value. It should rise with every update.")
def _constant(t: int, lr: float, warmup_steps: int) -> float:
    return lr / (warmup_steps + 1) if t < warmup_steps else lr


def said_of_causes(share: xr.DataArray, loss: xr.DataArray) -> xr.DataArray:
    """Return what the first updates of each start mean.

    Parameters
    ----------
    share : DataArray over start, lr, seed and probe
        Rate times curvature as a share of what settles.
    loss : DataArray over start, lr, seed and step

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> dims = {"start": ["RAdam"], "lr": [0.1], "seed": [0]}
    >>> share = xr.DataArray([[[[9.0, 0.5]]]], dims, [*dims, "probe"])
    >>> loss = xr.DataArray([[[[2.0, 16.0, 1.0]]]], dims, [*dims, "step"])
    >>> said_of_causes(share, loss).item()
    'The first update is at 9 times the limit. The loss rises to 8 times its start.'
    """
    first = middle(share.isel(probe=0, drop=True), better="low")
    top = middle(loss.max("step") / loss.isel(step=0, drop=True), better="low")
    gone = middle(loss, better="low").isel(step=-1, drop=True)

    def words(first: float, top: float, gone: float) -> str:
        if first > 1.05:
            limit = f"The first update is at {in_words(first, 2)} times the limit."
        else:
            limit = "The first update stays within the limit."
        if not np.isfinite(gone):
            return f"{limit} The median run diverges."
        if top < 1.15:
            return f"{limit} The loss never rises by more than a seventh."
        return f"{limit} The loss rises to {in_words(top, 2)} times its start."

    return each_state(words, first, top, gone)


def said_of_cures(wrong: xr.DataArray, size: xr.DataArray) -> xr.DataArray:
    """Return what each way to start does at a rate.

    Parameters
    ----------
    wrong : DataArray over start, lr and seed
        From `mistakes`.
    size : DataArray over start, lr, seed and step
        Of the updates, in rates.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> dims = {"start": ["RAdam"], "lr": [0.1], "seed": [0]}
    >>> wrong = xr.DataArray([[[4.0]]], dims)
    >>> said_of_cures(wrong, xr.DataArray([[[[0.002, 0.1]]]], dims, [*dims, "step"])).item()
    'It trains: 4 % mistakes. The first update moves a weight by 0.002 of the rate.'
    """
    first = middle(size.isel(step=0, drop=True), better="low")

    def words(wrong: float, first: float) -> str:
        by = f"{first:.1g}" if first < 0.095 else f"{first:.2g}"
        return (
            f"It {'trains' if wrong <= TRAINS else 'does not train'}: {ending(wrong)}. "
            f"The first update moves a weight by {by} of the rate."
        )

    return each_state(words, middle(wrong, better="low"), first)


def said_of_ramps(runs: xr.Dataset) -> xr.DataArray:
    """Return what each loop makes of its plan, and what it costs.

    Parameters
    ----------
    runs : Dataset over how, and seed, step and epoch
        With ``used``, ``planned`` and ``mistakes``, as `ramp` returns them.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> rates = {"used": ("step", [0.0, 0.1]), "planned": ("step", [0.05, 0.1])}
    >>> runs = xr.Dataset(rates | {"mistakes": (("seed", "epoch"), [[3.0]])})
    >>> said_of_ramps(runs.expand_dims(how=["begins at rate 0"])).values[0][39:]
    'nothing. 1 of 2 updates used another rate than planned. It ends with 3 % mistakes.'
    """
    off = off_plan(runs)
    ended = middle(runs.mistakes.isel(epoch=-1, drop=True), better="low")

    def words(how: str, off: float, wrong: float) -> str:
        of = f" {off:.0f} of {runs.sizes['step']} updates used another rate than planned."
        return f"{RAMPS[how][1]}{of if off else ''} It ends with {share_of(wrong)} mistakes."

    return each_state(words, ended.how, off, ended)
