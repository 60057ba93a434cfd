"""Several processes that train one model together, as several machines would.

`together` starts the processes, lets them find each other without a network, and ends them whatever
happens.  `weights_after` is the loop that one process runs alone and several run together: each
takes its part of every batch, and then they average or sum their gradients.  `recipes` finds out at
which rate several workers repeat the run of one, and `accumulate` what a schedule does that counts
the wrong thing where a batch is made of parts.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import choice, count, number
from lrcourse.chapters.batch_size import METHODS, ROWS, images

if TYPE_CHECKING:
    import xarray as xr
    from torch import Tensor, nn

    from lrcourse.data import Data

Array = NDArray[np.float64]

LIMIT = 180.0  # seconds for all workers together, the start of their processes included
GRACE = 0.3  # seconds in which the death of one may explain the failure of another
MOST = 8  # workers
REDUCED = ("mean", "sum")
GRADIENTS = (*REDUCED, "DDP")


def together(
    workers: int,
    function: Callable[..., Any],
    *arguments: Any,
    limit: float = LIMIT,
    **settings: Any,
) -> list[Any]:
    """Call a function in several processes that can talk to each other.

    Each process calls ``function(*arguments, **settings)`` within a ``torch.distributed`` group
    that uses gloo over the loopback interface.  They meet in a file of a temporary folder, so no
    port is fixed and no network is needed.  Each has one torch thread.

    Parameters
    ----------
    workers : int
        From 1 to 8.
    function : callable
        One that a new process can import, not one of a notebook.
    *arguments, **settings
        What to call it with.
    limit : float
        Seconds within which all results must be there.

    Returns
    -------
    list
        The results, by rank.

    Raises
    ------
    TypeError
        A function of a notebook.
    RuntimeError
        A worker died, or the time was over, or the function failed; a `TypeError` or `ValueError`
        of the function stays one.  All workers have been ended then, as they are after Ctrl-C.

    Examples
    --------
    >>> together(2, divmod, 7, 2)
    [(3, 1), (3, 1)]
    """
    workers = count("workers", workers, low=1)
    if workers > MOST:
        raise ValueError(f"workers must be at most {MOST} processes, was {workers}")
    limit = number("limit", limit, low=0, open_low=True)
    if not callable(function) or getattr(function, "__module__", None) == "__main__":
        raise TypeError(
            f"function must be one that a new process can import, so from a file, was {function!r}"
        )
    payload = pickle.dumps((function, arguments, settings))
    with tempfile.TemporaryDirectory(prefix="lrcourse-", ignore_cleanup_errors=True) as name:
        folder, team = Path(name), list[subprocess.Popen[bytes]]()
        (folder / "call").write_bytes(payload)
        end = time.time() + limit
        try:
            for rank in range(workers):
                team.append(_started(rank, workers, folder, end))
            return _results(team, folder, limit)
        finally:
            for worker in team:
                worker.kill()
            for worker in team:
                worker.wait()
                if worker.stdin is not None:
                    worker.stdin.close()


def _started(rank: int, workers: int, folder: Path, end: float) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that Ctrl-C reaches only this one."""
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    if loopback := {"lo", "lo0"} & {name for _, name in socket.if_nameindex()}:
        env["GLOO_SOCKET_IFNAME"] = loopback.pop()
    code = "import sys; from lrcourse.chapters.workers import _work; _work(*sys.argv[1:])"
    with (folder / f"{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(workers), str(folder), str(end)],
            env=env,
            stdin=subprocess.PIPE,  # nothing is written: its end tells the worker that we are gone
            stdout=log,
            stderr=log,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


def _work(rank: str, workers: str, folder: str, end: str) -> None:
    """Be one worker: join the others, call the function, leave its result, wait to be ended.

    Who went at once would cut the others' connections.
    """
    at, left = Path(folder), float(end) - time.time()
    gone = threading.Thread(target=_end_with_parent, args=[at], daemon=True)
    gone.start()
    faulthandler.dump_traceback_later(max(0.05, left - 0.5))  # to the log: where it hangs
    try:
        import torch
        from torch import distributed

        torch.set_num_threads(1)
        function, arguments, settings = pickle.loads((at / "call").read_bytes())
        distributed.init_process_group(
            "gloo",
            store=distributed.FileStore(str(at / "meeting"), int(workers)),  # type: ignore[attr-defined]
            rank=int(rank),
            world_size=int(workers),
            timeout=timedelta(seconds=LIMIT + max(0, left)),  # the other side speaks first
        )
        payload = pickle.dumps((True, function(*arguments, **settings)))
    except BaseException as error:
        payload = pickle.dumps((False, (type(error).__name__, str(error))))
    (at / f"{rank}.part").write_bytes(payload)
    (at / f"{rank}.part").replace(at / f"{rank}.result")
    gone.join()


def _end_with_parent(folder: Path) -> None:
    """End this process when the one that started it has gone, however it went, and tidy up."""
    os.read(0, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _results(team: Sequence[subprocess.Popen[bytes]], folder: Path, limit: float) -> list[Any]:
    """Wait for all workers and return their results, or say in words who failed."""
    answers: dict[int, tuple[bool, Any]] = {}
    dead: dict[int, int] = {}
    until = time.monotonic() + limit
    while len(answers) + len(dead) < len(team) and time.monotonic() < until:
        time.sleep(0.01)
        for rank in set(range(len(team))) - answers.keys() - dead.keys():
            code, result = team[rank].poll(), folder / f"{rank}.result"
            if result.exists():
                answers[rank] = pickle.loads(result.read_bytes())
            elif code is not None:
                dead[rank] = code
        if dead or not all(good for good, _ in answers.values()):
            until = min(until, time.monotonic() + GRACE)
    of = f"of {len(team)}"
    for rank, code in dead.items():
        said = _last_words(folder / f"{rank}.log")
        raise RuntimeError(f"worker {rank} {of} died, {_way(code)}; all were ended{said}")
    for rank, (good, result) in answers.items():
        if not good:
            kind = {"TypeError": TypeError, "ValueError": ValueError}.get(result[0], RuntimeError)
            raise kind(f"worker {rank} {of} failed, and all were ended: {': '.join(result)}")
    late = [rank for rank in range(len(team)) if rank not in answers]
    if not late:
        return [answers[rank][1] for rank in range(len(team))]
    where = [_last_place(folder / f"{rank}.log") for rank in late]
    places = ", ".join(
        f"worker {r} in {place}" for r, place in zip(late, where, strict=True) if place
    )
    raise RuntimeError(
        f"{len(late)} {of} workers had no result within {limit:g} s, and all were ended"
        + (f": {places}" if places else "")
    )


def _way(code: int) -> str:
    """Write how a process ended.

    >>> _way(3), _way(-9)
    ('with exit code 3', 'killed by SIGKILL')
    """
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _last_words(log: Path) -> str:
    """Return the last line that a worker wrote, but for the notes of torch and gloo."""
    lines = log.read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip() and not line.startswith("[")]
    return f": {said[-1]}" if said else ""


def _last_place(log: Path) -> str:
    """Return the function in which the main thread of a worker was when time was nearly over."""
    main = log.read_text(errors="replace").rpartition("(most recent call first):")[2]
    found = re.search(r"line \d+ in (\w+)$", main, re.MULTILINE)
    return found[1] if found else ""


@cache
def _images() -> Data:
    """The chapter's training images in double precision, so that rounding is far from all else."""
    import torch

    return images().to(torch.empty(0, dtype=torch.float64))


def _network(seed: int) -> nn.Module:
    from lrcourse.models import mlp
    from lrcourse.randomness import seeded

    return seeded(mlp, seed).double()


def weights_after(
    steps: int,
    *,
    lr: float,
    batch_size: int = 64,
    gradients: str = "mean",
    loss: str = "mean",
    optimizer: str = "momentum",
    parts: int = 1,
    seed: int = 0,
) -> Array:
    r"""Train the chapter's network at a constant rate, alone or as one worker of several.

    Within `together` each of :math:`k` workers takes every k-th image of the batch.  With
    `parts` it takes these one part after the other and adds up the gradients before it makes the
    update: gradient accumulation.  Alone, it is a usual training loop.

    Parameters
    ----------
    steps : int
        Updates.
    lr : float
    batch_size : int
        Images of a batch, those of all workers together.
    gradients : {"mean", "sum", "DDP"}
        What becomes of the workers' gradients; "DDP" leaves it to torch's
        ``DistributedDataParallel``, which averages.
    loss : {"mean", "sum"}
        Over the images that are taken at once.  Of a mean, each part counts as one of `parts`.
    optimizer : {"SGD", "momentum", "Adam"}
    parts : int
        Into which a worker cuts its images.
    seed : int
        Of the start and of the batches.

    Returns
    -------
    ndarray of float, shape (2410,)
        The weights at the end.

    Raises
    ------
    ValueError
        A batch that is larger than the 1,024 images, or that does not fall into equal parts: the
        mean over unequal parts is not the mean over the batch.

    Examples
    --------
    >>> whole, cut = weights_after(3, lr=0.1), weights_after(3, lr=0.1, parts=4)
    >>> bool(abs(whole - cut).max() < 1e-12)
    True
    """
    import torch
    from torch.nn.parallel import DistributedDataParallel

    from lrcourse.randomness import batches

    choice("gradients", gradients, GRADIENTS)
    choice("loss", loss, REDUCED)
    rank, workers = _rank()
    taken = _equal_parts(batch_size, workers, count("parts", parts, low=1))
    data, model = _images(), _network(seed)
    update = _optimizer(model, optimizer, lr)
    net = DistributedDataParallel(model) if gradients == "DDP" and workers > 1 else model
    for whole in batches(ROWS, batch_size, count("steps", steps), seed):
        update.zero_grad()
        for rows in whole[rank::workers].reshape(parts, taken):
            value = data.loss_of(net(data.x_train[rows]), data.y_train[rows])
            value = value / parts if loss == "mean" else value * taken
            value.backward()  # type: ignore[no-untyped-call]
        if net is model and workers > 1:
            for gradient in [p.grad for p in model.parameters() if p.grad is not None]:
                torch.distributed.all_reduce(gradient)  # the sum over the workers
                if gradients == "mean":
                    gradient /= workers
        update.step()
    return _weights(model)


def _rank() -> tuple[int, int]:
    """Return which worker this process is, and of how many."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _equal_parts(batch_size: int, workers: int, parts: int) -> int:
    """Return how many images one worker takes at once."""
    size = count("batch_size", batch_size, low=1)
    if size > ROWS:
        raise ValueError(f"batch_size must be at most the {ROWS} training rows, was {size}")
    if size % (workers * parts):
        raise ValueError(
            f"batch_size must be a multiple of {workers * parts}, the workers times the parts of "
            f"each, for means over unequal parts are not the mean over the batch, was {size}"
        )
    return size // (workers * parts)


def _optimizer(model: nn.Module, name: str, lr: float) -> Any:
    from torch import optim

    how = METHODS[choice("optimizer", name, METHODS)]
    lr = number("lr", lr, low=0)
    if how["optimizer"] == "adam":
        return optim.Adam(model.parameters(), lr=lr)
    return optim.SGD(model.parameters(), lr=lr, momentum=how.get("momentum", 0.0))


def _weights(model: nn.Module) -> Array:
    from torch.nn.utils import parameters_to_vector

    flat: Tensor = parameters_to_vector(model.parameters()).detach()
    return np.asarray(flat, dtype=float)


def all_weights(runs: Sequence[dict[str, Any]]) -> list[Array]:
    """Return ``weights_after(**run)`` for each: so many runs need one start of the processes.

    Parameters
    ----------
    runs : sequence of dict

    Returns
    -------
    list of ndarray

    Examples
    --------
    >>> [len(weights) for weights in all_weights([{"lr": 0.1, "steps": 1}])]
    [2410]
    """
    return [weights_after(**run) for run in runs]


def gradient_factor(workers: int, size: int, gradients: str, loss: str) -> int:
    r"""Return how many times the gradient of the mean loss over all images the workers get.

    The sum over :math:`k` workers is :math:`k` times their mean, and the gradient of a loss that is
    summed over :math:`b` images is :math:`b` times that of their mean.  SGD needs its rate divided
    by the product.

    Parameters
    ----------
    workers : int
    size : int
        Images of one worker.
    gradients : {"mean", "sum", "DDP"}
    loss : {"mean", "sum"}

    Returns
    -------
    int

    Examples
    --------
    >>> [gradient_factor(2, 32, g, l) for g in ("DDP", "sum") for l in ("mean", "sum")]
    [1, 32, 2, 64]
    """
    workers, size = count("workers", workers, low=1), count("size", size, low=1)
    summed = choice("gradients", gradients, GRADIENTS) == "sum"
    return (workers if summed else 1) * (size if choice("loss", loss, REDUCED) == "sum" else 1)


def recipes(
    workers: int = 2,
    *,
    lr: float = 0.1,
    adam: float = 0.005,
    batch_size: int = 64,
    steps: int = 10,
) -> xr.Dataset:
    r"""Find out at which rate several workers repeat the run of one process, by running them.

    A process trains with SGD and momentum, batches of `batch_size` and a rate :math:`\eta` that
    suits its loss: `lr` for a mean over the batch, `lr` divided by `batch_size` for a sum.  Then
    several workers take over.  Either they share a batch of this size, or each takes one of its
    own.  In the second case they are to repeat one process with the batch of all of them, at the
    rate of the linear rule.

    Parameters
    ----------
    workers : int
    lr, adam : float
        Of momentum and of Adam, for one process and a mean loss.
    batch_size, steps : int

    Returns
    -------
    Dataset
        Over ``batch``, ``loss`` and ``gradients``: ``rate``, the rate that repeats the run, in
        words, as a multiple of :math:`\eta`; ``apart``, the largest difference of a weight there;
        ``old``, the same at :math:`\eta`, NaN where that is the rate; ``adam``, the same for Adam
        at its old rate, where the batch is shared.

    Examples
    --------
    >>> recipes(1, steps=1).rate.values.ravel().tolist()
    ['η', 'η', 'η', 'η', 'η', 'η', 'η', 'η']
    """
    import xarray as xr

    k, many = count("workers", workers, low=1), count("batch_size", batch_size, low=1)
    ways = {"averaged (DDP)": "DDP", "summed": "sum"}
    cells = [(whole, loss, way) for whole in (many, k * many) for loss in REDUCED for way in ways]
    asked: list[tuple[int, int, dict[str, Any], dict[str, Any]]] = []
    times, apart = np.ones(len(cells)), np.full((len(cells), 3), np.nan)
    for i, (whole, loss, way) in enumerate(cells):
        one: dict[str, Any] = {"batch_size": whole, "steps": steps}
        how = one | {"loss": loss, "gradients": ways[way]}
        own, target = lr if loss == "mean" else lr / many, lr * whole / many
        rate = target / gradient_factor(k, whole // k, ways[way], loss)
        times[i] = rate / own
        alone = one | {"lr": target}
        asked.append((i, 0, how | {"lr": rate}, alone))
        if not np.isclose(times[i], 1):
            asked.append((i, 1, how | {"lr": own}, alone))
        if whole == many:
            of_adam = {"lr": adam, "optimizer": "Adam"}
            asked.append((i, 2, how | of_adam, one | of_adam))
    ends = together(k, all_weights, [of_workers for *_, of_workers, _ in asked])[0]
    for (i, j, _, alone), end in zip(asked, ends, strict=True):
        apart[i, j] = np.abs(end - weights_after(**alone)).max()
    dims, shape = ("batch", "loss", "gradients"), (2, 2, 2)
    named = zip(("apart", "old", "adam"), apart.T, strict=True)
    words = np.array([_multiple(factor) for factor in times])
    return xr.Dataset(
        {"rate": (dims, words.reshape(shape))} | {n: (dims, v.reshape(shape)) for n, v in named},
        {
            "batch": [f"{many} in all", f"{many} each"],
            "loss": list(REDUCED),
            "gradients": list(ways),
        },
    )


def _multiple(factor: float) -> str:
    """Write a multiple of the old rate.

    >>> [_multiple(factor) for factor in (1, 2, 0.5)]
    ['η', '2η', 'η/2']
    """
    if np.isclose(factor, 1):
        return "η"
    return f"{factor:g}η" if factor > 1 else f"η/{1 / factor:g}"


UPDATES, PARTS = 64, 4  # of the loops below: 8 epochs of 8 batches of 128, each in 4 parts
LOOPS = {
    "one large batch": "A batch of 128 at once, and a rate that falls to 0, as planned.",
    "four parts": "Each update adds up four parts of 32. It is the run of the large batch.",
    "steps at every part": "The rate is 0 after a quarter of the run. The rest moves nothing.",
    "length in parts": "The plan is four times too long. The rate never comes near 0.",
    "loss not divided": "The rate is as planned, but each gradient is four times as large.",
}


def accumulate(how: str, lr: float, seed: int) -> dict[str, Any]:
    """Train with gradient accumulation in a loop that may count the wrong thing.

    The chapter's network learns with SGD and momentum 0.9; the rate is to fall linearly to 0 over
    64 updates of 128 images each, taken in four parts of 32.

    Parameters
    ----------
    how : str
        A key of `LOOPS`.
    lr : float
        The first rate.
    seed : int

    Returns
    -------
    dict
        ``used`` and ``planned``, the rates of each update; ``val_loss`` on ``eval_step``, each
        fourth update; ``weights`` at the end.

    Examples
    --------
    >>> run = accumulate("steps at every part", 0.3, 0)
    >>> run["used"][1][[0, 1, 15, 16, 63]].round(3)
    array([0.286, 0.267, 0.005, 0.   , 0.   ])
    """
    from torch.optim.lr_scheduler import PolynomialLR

    from lrcourse.drivers import record
    from lrcourse.randomness import batches
    from lrcourse.training import evaluate

    parts = 1 if choice("how", how, LOOPS) == "one large batch" else PARTS
    data, model = _images(), _network(seed)
    update = _optimizer(model, "momentum", lr)
    length = PARTS * UPDATES if how == "length in parts" else UPDATES
    falling = PolynomialLR(update, total_iters=length, power=1.0)
    val_loss = [evaluate(model, data)[1]]
    with record(update) as recorder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # one is too early
        for t, whole in enumerate(batches(ROWS, 128, UPDATES, seed)):
            update.zero_grad()
            for part, rows in enumerate(np.split(whole, parts)):
                value = data.loss_of(model(data.x_train[rows]), data.y_train[rows])
                if how != "loss not divided":
                    value = value / parts
                value.backward()  # type: ignore[no-untyped-call]
                if part == parts - 1:
                    update.step()
                if part == parts - 1 or how == "steps at every part":
                    falling.step()
            if (t + 1) % 4 == 0:
                val_loss.append(evaluate(model, data)[1])
    return {
        "used": ("step", recorder.used[:, 0]),
        "planned": ("step", lr * (1 - np.arange(UPDATES) / UPDATES)),
        "val_loss": ("eval_step", val_loss),
        "weights": ("weight", _weights(model)),
    }


def said_of_loops(runs: xr.Dataset) -> xr.DataArray:
    """Return what each loop makes of its plan, and where it ends.

    Parameters
    ----------
    runs : Dataset over how, and seed, step and eval_step
        As `accumulate` returns them.

    Returns
    -------
    DataArray of str

    Examples
    --------
    >>> import xarray as xr
    >>> runs = xr.Dataset({
    ...     "used": (("seed", "step"), [[0.1, 0.0]]), "planned": (("seed", "step"), [[0.1, 0.05]]),
    ...     "val_loss": (("seed", "eval_step"), [[0.25]])})
    >>> said_of_loops(runs.expand_dims(how=["loss not divided"])).item()[-55:]
    ' 1 of 2 updates is off the plan. The loss ends at 0.25.'
    """
    from lrcourse.explore.words import each_state, in_words
    from lrcourse.results import middle, off_plan

    off, steps = off_plan(runs), runs.sizes["step"]
    ended = middle(runs.val_loss.isel(eval_step=-1, drop=True), better="low")

    def words(how: str, off: float, loss: float) -> str:
        verb = "is" if off == 1 else "are"
        many = f" {off:.0f} of {steps} updates {verb} off the plan." if off else ""
        return f"{LOOPS[how]}{many} The loss ends at {in_words(loss, 2)}."

    return each_state(words, ended.how, off, ended)
