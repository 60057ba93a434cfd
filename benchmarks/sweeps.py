"""Sweeps against the plain PyTorch loops that one would write instead, timed side by side.

The tutorial's loop draws its batches from a DataLoader over a TensorDataset; the lean loop indexes
the tensors with rows drawn beforehand.  Both then do the same: cross-entropy, zero_grad, backward,
step, and an evaluation before and after.  They are timed over single runs, in turns with the sweep,
with one thread and with all, and the fastest turn of each counts.  The sweep's time holds
everything, from building the models to the finished cube.  The rivals are JAX (`vmap` over runs
of a `lax.scan`, jitted, optax for Adam; its compilation is not counted) and `torch.func.vmap` as
PyTorch's ensembling tutorial uses it; both only train.  Run it on an idle machine:
python benchmarks/sweeps.py
"""

import argparse
import time
import warnings
from functools import partial
from itertools import chain, islice, pairwise, repeat

import numpy as np
import torch
from rivals import HAS_JAX, jax_scan, torch_vmap
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrcourse.data import digits, mnist, split
from lrcourse.engine.stacks import products
from lrcourse.models import cnn, mlp
from lrcourse.randomness import batches, seeded
from lrcourse.settings import Settings
from lrcourse.sweeps import sweep
from lrcourse.training import evaluate

THREADS = torch.get_num_threads()


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def from_loader(data, steps):
    """Yield batches as PyTorch's tutorials do."""
    dataset = TensorDataset(data.x_train, data.y_train)
    loader = DataLoader(dataset, batch_size=64, shuffle=True, drop_last=True)
    return islice(chain.from_iterable(repeat(loader)), steps)


def by_index(data, steps):
    """Yield batches as one does who knows that the data lie in memory."""
    rows = torch.from_numpy(batches(len(data.x_train), 64, steps, 0))
    return ((data.x_train[chosen], data.y_train[chosen]) for chosen in rows)


def plain_loop(source, factory, data, steps, settings):
    """Train one model the plain way and return the seconds of one update."""
    model = seeded(factory, 0)
    optimizer = Settings(steps=steps, lr=0.01, **settings).make_optimizer(model.parameters())
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    loss_of = nn.CrossEntropyLoss()

    def train():
        losses, marks = [], [evaluate(model, data)]
        for x, y in source(data, steps):
            loss = loss_of(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        marks.append(evaluate(model, data))

    return seconds(train) / steps


def plain_turn(*args):
    times = []
    for threads in {1, THREADS}:
        torch.set_num_threads(threads)
        times.append(plain_loop(*args))
    torch.set_num_threads(THREADS)
    return min(times)


def flops(sizes, batch=64):
    """Multiplications and additions of one update of a perceptron, matrix products alone."""
    weights = [(a + 1) * b for a, b in pairwise(sizes)]
    return 2 * batch * (3 * sum(weights) - weights[0])


def ceilings():
    """Return GFLOP/s of torch.mm on large matrices and of the product the stack uses."""
    square, tall, x = torch.randn(1024, 1024), torch.randn(16384, 64), torch.randn(64, 64)
    out = torch.empty(1, 16384, 64)
    best = [min(seconds(lambda: square @ square) for _ in range(30))]
    best.append(min(seconds(lambda: products(tall[None], x[None], out)) for _ in range(100)))
    return 2 * 1024**3 / best[0] / 1e9, 2 * 16384 * 64 * 64 / best[1] / 1e9


def toy(inputs, classes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, inputs))
    return split("toy", x, (x @ rng.standard_normal((inputs, classes))).argmax(1))


def rivals_of(factory, data, lr, seed, steps, settings):
    """Return the calls of those rivals that are installed and know this kind of network."""
    if not all(isinstance(p, nn.Flatten | nn.Linear | nn.ReLU | nn.Tanh) for p in factory()):
        return {}
    made = {"vmap": torch_vmap(factory, data, lr, seed, steps, settings)}
    if HAS_JAX:
        made["JAX"] = jax_scan(factory, data, lr, seed, steps, settings)
    return made


def compare(label, factory, data, lr, seed, steps, sizes=None, turns=5, **settings):
    """Print one row: the time of one update of one run, in the best turn of each side."""
    runs, turn = len(lr) * len(seed), []
    once = partial(sweep, factory, data, lr=lr, seed=seed, progress=False, **settings)
    rivals = rivals_of(factory, data, lr, seed, steps, settings)
    ours = once(steps=steps)
    for name, call in rivals.items():  # the first call compiles, and shows that they do the same
        stable = np.abs(ours.loss.values.reshape(-1, steps)[:, :20] - call()[:, :20])
        if not np.nanmedian(stable) < 1e-3:
            raise AssertionError(f"{name} trains something else: {np.nanmedian(stable):.2g}")
    for _ in range(turns):
        one = factory, data, steps, settings
        times = {n: plain_turn(f, *one) for n, f in (("tutorial", from_loader), ("lean", by_index))}
        times |= {name: seconds(call) / steps / runs for name, call in rivals.items()}
        times["sweep"] = seconds(lambda: once(steps=steps)) / steps / runs
        turn.append(times)
    best = {name: 1e6 * min(times[name] for times in turn) for name in turn[0]}
    mine = best["sweep"]
    cells = [f"{best[n]:9.1f}" if n in best else f"{'-':>9s}" for n in SIDES]
    gain = [f"{best[n] / mine:7.1f}x" if n in best else f"{'-':>8s}" for n in SIDES[:-1]]
    rate = flops(sizes) / mine / 1e3 if sizes else np.nan
    print(f"{label:42s} {runs:4d} {' '.join(cells)} {' '.join(gain)} {rate:6.0f}", flush=True)
    return {name: time / mine for name, time in best.items()} | {"rate": rate}


SIDES = ("tutorial", "lean", "vmap", "JAX", "sweep")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps and turns")
    quick = parser.parse_args().quick
    steps, turns = (60, 2) if quick else (300, 5)
    warnings.filterwarnings("ignore", message=".*runs are missing.*")
    mm, tall = ceilings()
    print(f"{THREADS} threads; matrix products: torch.mm {mm:.0f}, tall {tall:.0f} GFLOP/s")
    if not HAS_JAX:
        print("JAX is not installed: pip install -r benchmarks/requirements.txt")
    heads = " ".join(f"{n:>9s}" for n in SIDES) + "".join(f"{n:>9s}" for n in SIDES[:-1])
    print(f"\n{'us for one update of one run, and ratios':42s} runs {heads} GFLOP/s")
    row = partial(compare, turns=turns, steps=steps)
    many, few = np.geomspace(1e-3, 0.3, 64), np.geomspace(1e-3, 0.3, 32)
    wide = (64, 64, 10)
    relu, tanh = partial(mlp, wide, "relu"), partial(mlp, wide, "tanh")
    small = [
        row("64-64-10 relu, sgd", relu, digits(), many, range(4), sizes=wide),
        row("64-64-10 relu, sgd, 8 seeds", relu, digits(), few, range(8), sizes=wide),
        row("64-64-10 tanh, sgd", tanh, digits(), many, range(4), sizes=wide),
        row("64-64-10 relu, momentum", relu, digits(), many, range(4), sizes=wide, momentum=0.9),
        row("64-64-10 relu, adam", relu, digits(), many, range(4), sizes=wide, optimizer="adam"),
        row("64-64-10, each run its own seed", relu, digits(), [0.1], range(256), sizes=wide),
    ]
    for sizes in ((2, 8, 3), (4, 4, 2)):
        name = "-".join(map(str, sizes)) + " tanh, sgd"
        data = toy(sizes[0], sizes[-1])
        small.append(row(name, partial(mlp, sizes), data, many, range(4), sizes=sizes))
    data, tiny = toy(2, 3), partial(mlp, (2, 8, 3))
    small.append(row("2-8-3 tanh, adam", tiny, data, many, range(4), optimizer="adam"))
    row = partial(compare, turns=min(turns, 3))
    images, big = mnist(), (784, 128, 10)
    row("784-128-10 relu, sgd", partial(mlp, big, "relu"), images, few, [0], 100, sizes=big)
    row("784-128-10 relu, adam", partial(mlp, big, "relu"), images, few, [0], 100, optimizer="adam")
    row("small CNN, sgd", cnn, images, few[:2], [0], 60)
    print()
    for side, goal in (("tutorial", 20), ("JAX", 3)):
        if side in small[0]:
            least = min(ratios[side] for ratios in small)
            print(f"least speed-up of small networks over {side}: {least:.1f} (goal {goal})")
    share = 100 * small[0]["rate"] / mm
    print(f"64-64-10 sgd, share of torch.mm's speed: {share:.0f} % (goal 60 %)")


if __name__ == "__main__":
    main()
