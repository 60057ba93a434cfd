"""Sweeps against the plain PyTorch loop that one would write instead, timed side by side.

The loop is the usual one: indexed tensors, nn.Sequential, cross-entropy, zero_grad, backward, step.
It is timed over single runs, in turns with the sweep, with one thread and with all, and its faster
turn counts.  On a busy machine trust the ratio of processor time, and multiply it by the number of
cores.  Both evaluate the model before and after; the sweep's time also holds building the
cube.  Run it on an idle machine: python benchmarks/sweeps.py
"""

import argparse
import time
import warnings
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from lrcourse.batched import _rows_times
from lrcourse.data import digits, mnist, split
from lrcourse.models import cnn, mlp
from lrcourse.sweeps import sweep
from lrcourse.training import Settings, batches, evaluate, seeded

THREADS = torch.get_num_threads()


def seconds(call):
    """Return the wall time and the processor time, over all threads, of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return np.array([time.perf_counter() - wall, time.process_time() - cpu])


def plain_loop(factory, data, steps, settings):
    """Train one model the plain way and return the wall and processor seconds of one update."""
    model = seeded(factory, 0)
    optimizer = Settings(steps=steps, lr=0.01, **settings).make_optimizer(model.parameters())
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    loss_of = nn.CrossEntropyLoss()
    rows = torch.from_numpy(batches(len(data.x_train), 64, steps, 0))

    def train():
        losses, marks = [], [evaluate(model, data)]
        for t in range(steps):
            x, y = data.x_train[rows[t]], data.y_train[rows[t]]
            loss = loss_of(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        marks.append(evaluate(model, data))

    return seconds(train) / steps


def plain_turn(factory, data, steps, settings):
    times = []
    for threads in {1, THREADS}:
        torch.set_num_threads(threads)
        times.append(plain_loop(factory, data, steps, settings))
    torch.set_num_threads(THREADS)
    return np.min(times, axis=0)


def flops(sizes, batch=64):
    """Multiplications and additions of one update of a perceptron, matrix products alone."""
    weights = [(a + 1) * b for a, b in pairwise(sizes)]
    return 2 * batch * (3 * sum(weights) - weights[0])


def ceilings():
    """Return GFLOP/s of torch.mm on large matrices and of the product the stack uses."""
    square, tall, x = torch.randn(1024, 1024), torch.randn(16384, 64), torch.randn(64, 64)
    best = [min(seconds(lambda: square @ square)[0] for _ in range(30))]
    best.append(min(seconds(lambda: _rows_times(tall, x))[0] for _ in range(100)))
    return 2 * 1024**3 / best[0] / 1e9, 2 * 16384 * 64 * 64 / best[1] / 1e9


def toy(inputs, classes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, inputs))
    return split("toy", x, (x @ rng.standard_normal((inputs, classes))).argmax(1))


def compare(label, factory, data, lr, seed, steps, sizes=None, turns=5, **settings):
    """Print one row: the time of one update of one run, in the best turn of each side."""
    runs = len(lr) * len(seed)
    plain, ours = [], []
    once = partial(sweep, factory, data, lr=lr, seed=seed, progress=False, **settings)
    once(steps=3)
    for _ in range(turns):
        plain.append(plain_turn(factory, data, min(steps, 200), settings))
        ours.append(seconds(lambda: once(steps=steps)) / steps / runs)
    (loop, loop_cpu), (all_runs, cpu) = np.min(plain, axis=0), np.min(ours, axis=0)
    rate = f"{flops(sizes) / all_runs / 1e9:5.0f}" if sizes else ""
    print(
        f"{label:42s} {runs:4d}  {loop * 1e6:8.0f} {all_runs * 1e6:9.2f} "
        f"{loop / all_runs:7.1f}x {loop_cpu / cpu:7.1f}x  {rate}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps and turns")
    quick = parser.parse_args().quick
    steps, turns = (60, 2) if quick else (300, 5)
    warnings.filterwarnings("ignore", message=".*runs are missing.*")
    mm, tall = ceilings()
    print(f"{THREADS} threads; matrix products: torch.mm {mm:.0f}, tall {tall:.0f} GFLOP/s\n")
    print(f"{'':42s} runs   loop us  sweep us     wall processor GFLOP/s")
    row = partial(compare, turns=turns, steps=steps)
    many, few = np.geomspace(1e-3, 0.3, 64), np.geomspace(1e-3, 0.3, 32)
    wide = (64, 64, 10)
    relu, tanh = partial(mlp, wide, "relu"), partial(mlp, wide, "tanh")
    row("64-64-10 relu, sgd", relu, digits(), many, range(4), sizes=wide)
    row("64-64-10 relu, sgd, 8 seeds", relu, digits(), few, range(8), sizes=wide)
    row("64-64-10 tanh, sgd", tanh, digits(), many, range(4), sizes=wide)
    row("64-64-10 relu, momentum", relu, digits(), many, range(4), sizes=wide, momentum=0.9)
    row("64-64-10 relu, adam", relu, digits(), many, range(4), sizes=wide, optimizer="adam")
    row("64-64-10 relu, sgd, each run its own seed", relu, digits(), [0.1], range(256), sizes=wide)
    for sizes in ((2, 8, 3), (4, 4, 2)):
        name = "-".join(map(str, sizes)) + " tanh, sgd"
        row(name, partial(mlp, sizes), toy(sizes[0], sizes[-1]), many, range(4), sizes=sizes)
    row("2-8-3 tanh, adam", partial(mlp, (2, 8, 3)), toy(2, 3), many, range(4), optimizer="adam")
    row = partial(compare, turns=min(turns, 3))
    images, big = mnist(), (784, 128, 10)
    row("784-128-10 relu, sgd", partial(mlp, big, "relu"), images, few, [0], 100, sizes=big)
    row("784-128-10 relu, adam", partial(mlp, big, "relu"), images, few, [0], 100, optimizer="adam")
    row("small CNN, sgd", cnn, images, few[:2], [0], 60)


if __name__ == "__main__":
    main()
