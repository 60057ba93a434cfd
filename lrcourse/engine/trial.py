"""What a finder of rates trains: it computes losses, steps, and gives everything back."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrcourse._borrowed import Feed, Loan
from lrcourse._checks import flag, instance
from lrcourse.engine import threads
from lrcourse.engine.signals import uninterrupted

Loss = Callable[..., Tensor]


def ratios_of(optimizer: Optimizer) -> list[float]:
    """The rate of each parameter group as a share of the highest."""
    for i, group in enumerate(optimizer.param_groups):
        if "lr" not in group:
            raise ValueError(f"optimizer must have a rate in each group, group {i} has no 'lr'")
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    top = max(rates)
    return [rate / top if top > 0 else 1.0 for rate in rates]


def put(optimizer: Optimizer, lr: float, ratios: Sequence[float]) -> None:
    """Give each group its share of a rate; a rate that is a tensor stays the tensor that it is."""
    for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr * ratio)
        else:
            group["lr"] = lr * ratio


class Trial:
    """What a test trains: it computes losses, checks them once, and steps."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, loss: Loss, takes_model: bool
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.loss, self.takes_model = loss, takes_model
        self.ratios = ratios_of(optimizer)
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        devices = {p.device for p in model.parameters()}
        self.device = devices.pop() if len(devices) == 1 else None

    def loss_of(self, batch: Any) -> Tensor:
        """The loss of a batch as a tensor of one number."""
        if self.takes_model:
            made = self.loss(self.model, batch)
        else:
            if not (isinstance(batch, tuple | list) and len(batch) == 2):
                raise TypeError(
                    f"batches must hold pairs (x, y), held {_kind(batch)}: give takes_model=True "
                    "and a loss that is called as loss(model, batch)"
                )
            made = self.loss(self.model(batch[0]), batch[1])
        if not isinstance(made, Tensor):
            raise TypeError(f"loss must return a tensor, returned {_kind(made)}")
        if made.numel() != 1:
            raise ValueError(
                f"loss must return one number, returned the shape {tuple(made.shape)}: "
                "is its reduction 'none'?"
            )
        if made.is_complex():
            raise TypeError("loss must return a real number, returned a complex one")
        return made

    def train_on(self, batch: Any) -> tuple[float, Callable[[], None]]:
        """The loss of a batch, and what computes its gradients."""
        made = self.loss_of(batch)

        def backward() -> None:
            if not made.requires_grad:
                raise ValueError(
                    "loss must depend on the model's weights, had no gradient: is it detached?"
                )
            self.optimizer.zero_grad()
            made.backward()  # type: ignore[no-untyped-call]

        return made.item(), backward

    def step_at(self, lr: float) -> None:
        """One update."""
        put(self.optimizer, lr, self.ratios)
        self.optimizer.step()

    def mean_loss(self, batches: Sequence[Any]) -> float:
        """The mean over rows of batches, in evaluation mode."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.no_grad():
                pairs = [(self.loss_of(b).item(), self._rows(b)) for b in batches]
        finally:
            for module, mode in modes:
                module.training = mode
        return math.fsum(v * n for v, n in pairs) / sum(n for _, n in pairs)

    def _rows(self, batch: Any) -> int:
        first = batch if self.takes_model else batch[0]
        return len(first) if isinstance(first, Tensor) and first.ndim else 1


def _kind(value: Any) -> str:
    kind = type(value).__name__
    if isinstance(value, tuple | list):
        return f"a {kind} of {len(value)}"
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


@contextmanager
def lent(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    takes_model: bool,
    *sources: object,
) -> Iterator[Trial]:
    """A trial; whatever happens within the block, everything is given back afterwards."""
    modules = [model, loss] if isinstance(loss, nn.Module) else [model]
    loan = Loan(modules, optimizer, sources)
    try:
        loan.take()
        if not model.training:
            model.train()
        with threads.that_pay(), torch.enable_grad():
            yield Trial(model, optimizer, loss, takes_model)
    finally:
        with uninterrupted():
            loan.give_back()


def check_parts(model: Any, optimizer: Any, loss: Any, takes_model: Any) -> None:
    """Refuse in words what cannot be tested, before anything is touched."""
    instance("model", model, nn.Module, "a torch nn.Module")
    instance("optimizer", optimizer, Optimizer, "a torch Optimizer")
    if not callable(loss):
        raise TypeError(f"loss must be a function such as nn.CrossEntropyLoss(), was {loss!r:.80}")
    flag("takes_model", takes_model)
    parameters = list(model.parameters())
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in parameters):
        raise ValueError("model must have all its weights, has lazy ones: run one batch first")
    if not any(p.requires_grad for p in parameters):
        raise ValueError("model must have weights to train, has none that are not frozen")
    if any(p.is_meta for p in parameters):
        raise ValueError("model must hold numbers, has weights on the device 'meta'")
    own = {id(p) for p in parameters}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "optimizer must update weights of model, has none of them: was it made for another?"
        )
    ratios_of(optimizer)
    named = inspect.signature(type(optimizer).step).parameters.get("closure")
    if named is not None and named.default is named.empty:
        raise ValueError(
            "optimizer must step without a closure, "
            f"{type(optimizer).__name__} asks for one and may evaluate the loss many times a step"
        )


def all_of(batches: Any, trial: Trial) -> list[Any] | None:
    """Validation batches, once through, on the device of the model."""
    if batches is None:
        return None
    feed = Feed("val_batches", batches, trial.device)
    held = list(feed.once())
    if not held:
        raise ValueError("val_batches must hold at least one batch, was empty")
    return held
