"""Lending a model, its optimizer and its batches to a test, and taking all of it back unchanged.

A test trains with things that belong to somebody.  `Loan` remembers them bit by bit and puts them
back, whatever happened in between.  `Feed` hands out batches and says which cannot be had again.
"""

from __future__ import annotations

import copy
import random
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Act = Callable[[], object]

PLAIN = (dict, OrderedDict, set, list)
COPIED: tuple[type, ...] = tuple({type(iter(held)) for held in ([0], (0,), range(1))})
HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
DEPTH = 3  # a loader's sampler's sampler


class Loan:
    """Everything that a test may change about modules, an optimizer and sources of batches.

    ``take`` lets the optimizer work on copies of its state and of its groups, without the hooks of
    its steps, which often set or record the rate.  ``give_back`` puts everything back as it was
    when the loan was made.

    >>> model = nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> loan, before = Loan([model], optimizer, []), model.weight.clone()
    >>> loan.take()
    >>> optimizer.param_groups[0]["lr"] = 9.0
    >>> _ = nn.init.zeros_(model.weight)
    >>> loan.give_back()
    >>> torch.equal(model.weight, before), optimizer.param_groups[0]["lr"]
    (True, 0.1)
    """

    def __init__(
        self, modules: Sequence[nn.Module], optimizer: Optimizer, sources: Sequence[object]
    ) -> None:
        every = list(dict.fromkeys(m for module in modules for m in module.modules()))
        self._optimizer = optimizer
        self._own = dict(optimizer.__dict__)
        self._groups = list(optimizer.param_groups)
        self._group = [dict(group) for group in self._groups]
        self._state = dict(optimizer.state)
        self._back: list[Act] = [_shape_of(module) for module in every]
        tensors = _tensors(every, optimizer)
        self._back += [_numbers_of(tensor) for tensor in tensors]
        self._gradients = [(tensor, tensor.grad) for tensor in tensors if tensor.is_leaf]
        self._back += [self._return_gradients, self._return_optimizer]
        self._back += [act for source in sources for act in _positions(source)]
        self._back += draws_again()  # last: what comes before may draw

    def take(self) -> None:
        """Let the optimizer work on copies, and begin without gradients."""
        optimizer = self._optimizer
        for tensor, _ in self._gradients:
            tensor.grad = None
        same = {id(p): p for group in self._groups for p in group["params"]}
        for group in self._groups:
            others = {name: value for name, value in group.items() if name != "params"}
            group |= copy.deepcopy(others, dict(same)) | {"params": list(group["params"])}
        for parameter, state in self._state.items():
            optimizer.state[parameter] = copy.deepcopy(state, dict(same))
        for name in HOOKS:
            if name in optimizer.__dict__:
                setattr(optimizer, name, OrderedDict())

    def give_back(self) -> None:
        """Put everything back; an error in one part keeps no other from coming back."""
        errors = []
        for act in self._back:
            try:
                act()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _return_gradients(self) -> None:
        for tensor, gradient in self._gradients:
            tensor.grad = gradient

    def _return_optimizer(self) -> None:
        optimizer = self._optimizer
        _refill(optimizer.__dict__, self._own)
        optimizer.param_groups[:] = self._groups
        for group, content in zip(self._groups, self._group, strict=True):
            _refill(group, content)
        _refill(optimizer.state, self._state)


def _refill(holder: Any, content: dict[Any, Any]) -> None:
    for name in [name for name in holder if name not in content]:
        del holder[name]
    holder.update(content)


def _shape_of(module: nn.Module) -> Act:
    """What hangs on a module, by name: its mode, hooks, parameters, buffers, attributes."""
    own = dict(module.__dict__)
    inner = [(v, copy.copy(v)) for v in own.values() if type(v) in PLAIN]

    def back() -> None:
        _refill(module.__dict__, own)
        for holder, content in inner:
            if isinstance(holder, list):
                holder[:] = content
            elif isinstance(holder, dict) and list(holder) == list(content):
                holder.update(content)
            else:
                holder.clear()
                holder.update(content)

    return back


def _tensors(modules: Iterable[nn.Module], optimizer: Optimizer) -> list[Tensor]:
    """The tensors that a module holds, directly or as parameter or buffer, and the optimizer's."""
    held = [
        tensor
        for module in modules
        for part in (module._parameters, module._buffers, module.__dict__)
        for tensor in part.values()
    ]
    held += [p for group in optimizer.param_groups for p in group["params"]]
    return list({id(tensor): tensor for tensor in held if isinstance(tensor, Tensor)}.values())


def _numbers_of(tensor: Tensor) -> Act:
    # A tensor expanded over its own memory cannot be written to, so nothing will have changed.
    shared = 0 in [s for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1]
    numbers = tensor.detach().clone()

    def back() -> None:
        if not shared:
            with torch.no_grad():
                tensor.copy_(numbers)

    return back


def draws_again() -> list[Act]:
    """What makes the shared generators draw the same again: of torch, NumPy and Python."""
    cpu, numpy, python = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    acts: list[Act] = [
        lambda: torch.set_rng_state(cpu),
        lambda: np.random.set_state(numpy),  # noqa: NPY002
        lambda: random.setstate(python),
    ]
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        cuda = torch.cuda.get_rng_state_all()
        acts.append(lambda: torch.cuda.set_rng_state_all(cuda))
    if torch.backends.mps.is_available():
        mps = torch.mps.get_rng_state()
        acts.append(lambda: torch.mps.set_rng_state(mps))
    return acts


def _positions(source: Any) -> list[Act]:
    """What makes a source of batches give the same ones again, as far as it says."""
    acts = list(_generators(source, DEPTH, set()))
    if _has_position(source):
        state = copy.deepcopy(source.state_dict())
        acts.append(lambda: source.load_state_dict(state))
    return acts


def _has_position(source: object) -> bool:
    return all(callable(getattr(source, name, None)) for name in ("state_dict", "load_state_dict"))


def _generators(held: Any, depth: int, seen: set[int]) -> Iterator[Act]:
    """The generators of random numbers that hang on an object, a loader's sampler for example."""
    if isinstance(held, torch.Generator):
        state = held.get_state()
        yield lambda: held.set_state(state)
    elif isinstance(held, np.random.Generator):
        place = copy.deepcopy(held.bit_generator.state)
        yield lambda: setattr(held.bit_generator, "state", place)
    elif isinstance(held, np.random.RandomState):
        old = held.get_state()
        yield lambda: held.set_state(old)
    elif isinstance(held, random.Random):
        inside = held.getstate()
        yield lambda: held.setstate(inside)
    elif depth and id(held) not in seen and not isinstance(held, type | types.ModuleType | Tensor):
        seen.add(id(held))
        for value in list(getattr(held, "__dict__", {}).values()):
            yield from _generators(value, depth - 1, seen)


class Feed:
    """Batches one after another; a source that can begin again does so when it has run out.

    >>> feed = Feed("batches", [1, 2], None)
    >>> [next(feed) for _ in range(5)]
    [1, 2, 1, 2, 1]
    >>> feed.gone
    0
    >>> feed = Feed("batches", (x for x in [1, 2]), None)
    >>> list(feed), feed.gone
    ([1, 2], 2)
    """

    def __init__(self, name: str, source: Any, device: torch.device | None) -> None:
        self._name, self._source, self._device = name, source, device
        if not (hasattr(type(source), "__iter__") or hasattr(type(source), "__getitem__")):
            raise TypeError(
                f"{name} must be an iterable of batches, such as a DataLoader, was {source!r:.80}"
            )
        self._now: Iterator[Any] | None = None  # a DataLoader draws as soon as it begins
        self._begins_again = not isinstance(source, Iterator)
        self._comes_back = self._begins_again or type(source) in COPIED or _has_position(source)
        self.taken = 0
        self.length: int | None = None  # known when the source has run out for the first time

    @property
    def repeats(self) -> bool:
        """Whether the same batches can be had again."""
        return self._comes_back

    @property
    def gone(self) -> int:
        """How many batches were taken from an iterator that cannot be put back."""
        return 0 if self._comes_back else self.taken

    def __iter__(self) -> Feed:
        return self

    def _begun(self) -> Iterator[Any]:
        if self._now is None:
            source = self._source
            self._now = iter(copy.copy(source) if type(source) in COPIED else source)
        return self._now

    def __next__(self) -> Any:
        try:
            batch = next(self._begun())
        except StopIteration:
            if self.length is None:
                self.length = self.taken
            if not self._begins_again:
                raise
            self._now = None
            batch = next(self._begun())
        self.taken += 1
        return self.moved(batch)

    def once(self) -> Iterator[Any]:
        """What is left of the source, and no second time."""
        for batch in self._begun():
            self.taken += 1
            yield self.moved(batch)

    def moved(self, batch: Any) -> Any:
        """A batch on the device of the model."""
        if isinstance(batch, Tensor):
            if self._device is None or batch.device == self._device:
                return batch
            try:
                return batch.to(self._device)
            except (RuntimeError, NotImplementedError, AssertionError) as error:
                first = str(error).strip().split("\n")[0]
                raise ValueError(
                    f"{self._name} must hold tensors that can move to the model's device, "
                    f"{self._device}, were on {batch.device}: {first}"
                ) from error
        if isinstance(batch, dict):
            return {name: self.moved(value) for name, value in batch.items()}
        if isinstance(batch, tuple | list) and type(batch) in (tuple, list):
            return type(batch)(map(self.moved, batch))
        return batch
