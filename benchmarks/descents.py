"""A grid of 500 descents of 200 updates: one computation against the loop a learner would write.

Run ``python -m benchmarks.descents``.  Both sides take turns in one process; the best time of each
counts; the last lines are ratios with their goals.  The loop keeps its numbers as plain Python
floats, which for two parameters is its fastest form, and only collects what it visits; `descents`
also returns the losses, rates and divergences.
"""

import math
from timeit import default_timer as clock

import numpy as np

from lrcourse.optimizers import Adam, Momentum, descents
from lrcourse.surfaces import Rosenbrock

GOALS = {"momentum, floats": 2, "momentum, arrays": 50, "Adam, floats": 3}
LR, SECOND, STEPS, TURNS = np.geomspace(1e-5, 1e-3, 50), np.linspace(0, 0.9, 10), 200, 5


def gradient(x0, x1):
    across = 200 * (x1 - x0**2)
    return 2 * (x0 - 1) - 2 * x0 * across, across


def momentum_loop(lr, momentum):
    x0, x1, v0, v1, path = -1.2, 1.0, 0.0, 0.0, [(-1.2, 1.0)]
    for _ in range(STEPS):
        g0, g1 = gradient(x0, x1)
        v0, v1 = momentum * v0 + g0, momentum * v1 + g1
        x0, x1 = x0 - lr * v0, x1 - lr * v1
        path.append((x0, x1))
    return path


def adam_loop(lr, beta1, beta2=0.999, eps=1e-8):
    x0, x1, m0, m1, s0, s1, path = -1.2, 1.0, 0.0, 0.0, 0.0, 0.0, [(-1.2, 1.0)]
    for t in range(1, STEPS + 1):
        g0, g1 = gradient(x0, x1)
        m0, m1 = beta1 * m0 + (1 - beta1) * g0, beta1 * m1 + (1 - beta1) * g1
        s0, s1 = beta2 * s0 + (1 - beta2) * g0**2, beta2 * s1 + (1 - beta2) * g1**2
        full_m, full_s = 1 - beta1**t, 1 - beta2**t
        x0 -= lr * (m0 / full_m) / (math.sqrt(s0 / full_s) + eps)
        x1 -= lr * (m1 / full_m) / (math.sqrt(s1 / full_s) + eps)
        path.append((x0, x1))
    return path


def array_loop(lr, momentum):
    surface, x, v = Rosenbrock(), np.array([-1.2, 1.0]), np.zeros(2)
    path = [x]
    for _ in range(STEPS):
        v = momentum * v + surface.grad(x)
        x = x - lr * v
        path.append(x)
    return path


def best_times(*jobs):
    times = [[] for _ in jobs]
    for _ in range(TURNS):
        for job, spent in zip(jobs, times, strict=True):
            start = clock()
            result = job()
            spent.append(clock() - start)
            del result
    return [min(spent) for spent in times]


def main():
    betas = [(float(beta), 0.999) for beta in SECOND]
    grids = {
        "momentum, floats": (
            lambda: descents(Rosenbrock(), Momentum(), lr=LR, momentum=SECOND, steps=STEPS),
            lambda: [[momentum_loop(lr, m) for m in SECOND.tolist()] for lr in LR.tolist()],
        ),
        "momentum, arrays": (
            lambda: descents(Rosenbrock(), Momentum(), lr=LR, momentum=SECOND, steps=STEPS),
            lambda: [[array_loop(lr, m) for m in SECOND] for lr in LR],
        ),
        "Adam, floats": (
            lambda: descents(Rosenbrock(), Adam(), lr=LR, betas=betas, steps=STEPS),
            lambda: [[adam_loop(lr, b) for b in SECOND.tolist()] for lr in LR.tolist()],
        ),
    }
    print(f"{LR.size * SECOND.size} descents x {STEPS} updates, best of {TURNS}, in milliseconds")
    ratios = {}
    for name, (grid, loop) in grids.items():
        runs = grid()
        mine = np.stack([runs.x0, runs.x1], axis=-1)
        np.testing.assert_allclose(mine, np.array(loop()), rtol=0, atol=1e-9)
        ours, theirs = best_times(grid, loop)
        ratios[name] = theirs / ours
        print(f"{name:17} loop {theirs * 1e3:7.1f}   descents {ours * 1e3:6.1f}")
    for name, ratio in ratios.items():
        print(f"{name}, loop / descents: {ratio:.1f} (goal >= {GOALS[name]})")


if __name__ == "__main__":
    main()
