"""What it costs to drive an optimizer, and to write down what it used.

Run ``python -m benchmarks.drivers`` on an idle machine. The optimizer is SGD on one small tensor,
where a step is nothing but overhead; the sides take turns and the best time of each counts. The
rival is what a learner would write: ``LambdaLR``, whose step follows every step of the optimizer,
and a list of the rates. Goals: a driven step within 5 µs of the bare one, and a million updates of
three parameter groups in 25 MB of memory and a kilobyte of state.
"""

import json
import tracemalloc
from timeit import default_timer as clock

import torch

from lrcourse.drivers import drive, record
from lrcourse.schedules import Cosine, OneCycle, warmup

UPDATES, TURNS, MANY = 50, 400, 1_000_000
PLAN = warmup(Cosine(0.1, 90_000), 10_000)


def optimizer_of(groups=1):
    weights = [torch.nn.Parameter(torch.ones(4)) for _ in range(groups)]
    for weight in weights:
        weight.grad = torch.zeros(4)
    return torch.optim.SGD([{"params": [weight]} for weight in weights], lr=0.1, momentum=0.9)


def bare():
    return optimizer_of().step


def recorded():
    optimizer = optimizer_of()
    record(optimizer)
    return optimizer.step


def driven():
    optimizer = optimizer_of()
    drive(optimizer, PLAN)
    return optimizer.step


def driven_momentum():
    optimizer = optimizer_of()
    drive(optimizer, OneCycle(0.1, 100_000))
    return optimizer.step


def scheduled():
    optimizer, used = optimizer_of(), []
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: PLAN(t) / 0.1)

    def step():
        optimizer.step()
        used.append(optimizer.param_groups[0]["lr"])
        scheduler.step()

    return step


def best_times(steps):
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(TURNS):
        for name, step in steps.items():
            start = clock()
            for _ in range(UPDATES):
                step()
            best[name] = min(best[name], (clock() - start) / UPDATES)
    return best


def main():
    torch.set_num_threads(1)
    makers = {
        "bare": bare,
        "recorded": recorded,
        "driven": driven,
        "driven, momentum too": driven_momentum,
        "LambdaLR and a list": scheduled,
    }
    best = best_times({name: make() for name, make in makers.items()})
    for name, seconds in best.items():
        more = 1e6 * (seconds - best["bare"])
        print(f"{name:22} {1e6 * seconds:6.1f} µs   {more:+6.1f} µs")

    drivers = {}
    for name, plan in {"cosine": PLAN, "one-cycle": OneCycle(0.1, 100_000)}.items():
        tracemalloc.start()
        driver = drive(optimizer_of(groups=3), plan)
        for _ in range(MANY):  # what the hooks do in a step, without the step
            driver._prepare()
            driver._count()
        drivers[name] = tracemalloc.get_traced_memory()[0], len(json.dumps(driver.state_dict()))
        tracemalloc.stop()

    more = 1e6 * (best["driven"] - best["bare"])
    print(f"driven step more than bare: {more:.1f} µs (goal at most 5)")
    print(f"driven step over bare: {best['driven'] / best['bare']:.2f} times (goal at most 1.3)")
    print(f"memory of a million updates, 3 groups: {drivers['cosine'][0] / 1e6:.0f} MB (goal 25)")
    print(f"with a planned momentum: {drivers['one-cycle'][0] / 1e6:.0f} MB (goal 50)")
    print(f"state of a million updates: {drivers['cosine'][1]} bytes (goal under 1000)")


if __name__ == "__main__":
    main()
