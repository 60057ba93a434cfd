"""What made a run, as a short text: equal for equal code and values, different otherwise.

A function is known by what it does: its bytecode, constants, defaults, closure and the global names
it reads, followed into every function and class of one's own.  Code from installed packages is
known by name and version, this package's own by its source without comments and docstrings.
"""

from __future__ import annotations

import ast
import copyreg
import dis
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache, partial
from hashlib import sha256
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
import xarray as xr

from lrcourse.grids import stable_repr

PACKAGE = Path(__file__).resolve().parents[1]
LATER = {"plots", "results", "__init__"}  # they read what was made
PASSIVE = {
    *("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__qualname__"),
    *("__firstlineno__", "__static_attributes__", "__abstractmethods__", "_abc_impl"),
}


def fingerprint(*parts: Any) -> str:
    """Return a digest of values, functions and classes that is the same in every session.

    >>> def f(x, k=2): return k * x
    >>> def g(x, k=2): return k * x
    >>> def h(x, k=2): return k + x
    >>> fingerprint(f) == fingerprint(g), fingerprint(f) == fingerprint(h)
    (True, False)
    """
    printer = _Printer()
    printer.feed(parts)
    return printer.digest.hexdigest()[:32]


@cache
def package_source() -> str:
    """Return a digest of the modules of this package that decide what a run gives."""
    paths = sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("engine/*.py")])
    return fingerprint([_without_docstrings(path) for path in paths if path.stem not in LATER])


@cache
def _without_docstrings(path: Path) -> str:
    """Return a digest of a source file, its comments and docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body.pop(0)
    return sha256(ast.dump(tree).encode()).hexdigest()


@cache
def _version(package: str) -> str:
    if package == PACKAGE.name:
        return package_source()
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", ""))


@cache
def _is_ones_own(module: str) -> bool:
    """Say whether a module is code that its user writes and changes."""
    if module == "__main__" or module not in sys.modules:
        return True
    file = getattr(sys.modules[module], "__file__", None)
    return file is not None and _is_own_file(file)


@cache
def _is_own_file(file: str) -> bool:
    """Say the same of the file that a function was compiled from."""
    if PACKAGE in (path := Path(file)).parents:
        return PACKAGE / "chapters" in path.parents
    installed = ("site-packages", "dist-packages", "<frozen", sysconfig.get_paths()["stdlib"])
    return not any(place in file for place in installed)


class _Printer:
    """Feeds values to a digest; what was met before is named by when that was."""

    def __init__(self) -> None:
        self.digest, self.met, self.kept = sha256(), dict[int, int](), list[Any]()

    def say(self, *texts: object) -> None:
        self.digest.update(("\x1f".join(map(str, texts)) + "\x1e").encode())

    def feed(self, value: Any) -> None:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self.say(type(value).__name__, repr(value))
            return
        if id(value) in self.met:
            self.say("again", self.met[id(value)])
            return
        self.met[id(value)] = len(self.met)
        self.kept.append(value)  # so that no other object gets its address
        self._feed_new(value)

    def _feed_new(self, value: Any) -> None:
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            self.say("array", array.dtype, array.shape)
            if array.dtype.hasobject:
                self.feed(array.tolist())
            else:
                self.digest.update(np.ascontiguousarray(array).tobytes())
        elif isinstance(value, torch.Tensor):
            self.say("tensor", value.dtype)
            flat = value.detach().cpu().contiguous().flatten()
            self.feed(tuple(value.shape))
            self.digest.update(flat.view(torch.uint8).numpy().tobytes())
        elif isinstance(value, torch.nn.Module):
            self.say("network", stable_repr(value))
            self.feed(dict(value.state_dict()))
            for part in value.modules():
                self.feed(type(part))
                self.feed({k: v for k, v in vars(part).items() if not k.startswith("_")})
        elif isinstance(value, list | tuple | range):
            self.say(type(value).__name__, len(value))
            for item in value:
                self.feed(item)
        elif isinstance(value, Mapping):
            self.say("mapping", len(value))
            for key in value:
                self.feed(key)
                self.feed(value[key])
        elif isinstance(value, Set):
            self.say("set", *sorted(fingerprint(item) for item in value))
        elif isinstance(value, ModuleType):
            self._feed_module(value)
        elif isinstance(value, type):
            self._feed_class(value)
        elif isinstance(value, FunctionType):
            self._feed_function(value)
        elif isinstance(value, MethodType):
            self.say("method")
            self.feed(value.__func__)
            self.feed(value.__self__)
        elif isinstance(value, partial):
            self.say("partial")
            self.feed((value.func, value.args, value.keywords))
        elif isinstance(value, BuiltinFunctionType):
            self.say("builtin", value.__module__, value.__qualname__)
        elif isinstance(value, xr.Dataset | xr.DataArray):
            self.feed(value.to_dict())
        elif is_dataclass(value):
            self.feed(type(value))
            self.feed({f.name: getattr(value, f.name) for f in fields(value) if f.init})
        else:
            self._feed_object(value)

    def _feed_class(self, kind: type) -> None:
        self.say("class", kind.__module__ if not _is_ones_own(kind.__module__) else "",
                 kind.__qualname__)  # fmt: skip
        if not _is_ones_own(kind.__module__):
            self.say(_version(kind.__module__.partition(".")[0]))
            return
        self.feed(kind.__bases__)
        for name, member in sorted(vars(kind).items()):
            if name not in PASSIVE:
                self.say(name)
                for inner in (getattr(member, "fget", None), getattr(member, "__func__", None)):
                    member = inner or member
                self.feed(member)

    def _feed_function(self, function: FunctionType) -> None:
        if not _is_own_file(function.__code__.co_filename):
            top = (function.__module__ or "").partition(".")[0]
            self.say("function", function.__module__, function.__qualname__, _version(top))
            self.feed(self._closed(function))
            return
        self.say("function")
        self._feed_code(function.__code__, function.__doc__)
        self.feed((function.__defaults__, function.__kwdefaults__))
        self.feed(self._closed(function))
        for name in sorted(_imports(function.__code__)):
            self.say("import", name)
            with suppress(ImportError, ValueError):  # it fails when the run is made, or is relative
                spec = find_spec(name)
                if spec is not None and spec.origin and _is_own_file(spec.origin):
                    self.feed(import_module(name))
        for name in sorted(_globals_read(function.__code__)):
            if name in function.__globals__:
                self.say("global", name)
                self.feed(function.__globals__[name])

    def _closed(self, function: FunctionType) -> list[Any]:
        found = []
        for cell in function.__closure__ or ():
            try:
                found.append(cell.cell_contents)
            except ValueError:  # not filled yet
                found.append(None)
        return found

    def _feed_code(self, code: CodeType, doc: str | None = None) -> None:
        self.say(code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_names)
        self.say(code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)
        self.digest.update(code.co_code)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._feed_code(constant)
            else:
                self.feed(None if constant is doc else constant)

    def _feed_module(self, module: ModuleType) -> None:
        """Feed the source of a module of one's own, and of those of one's own that it reads."""
        name = module.__name__
        if not _is_ones_own(name) or name == "__main__":
            self.say("module", name, _version(name.partition(".")[0]))
            return
        file = Path(str(module.__file__))
        self.say("module", name, _without_docstrings(file) if file.suffix == ".py" else file.name)
        for value in list(vars(module).values()):
            home = value if isinstance(value, ModuleType) else None
            if isinstance(value, FunctionType | type):
                home = sys.modules.get(value.__module__)
            if home is not None and home is not module and _is_ones_own(home.__name__):
                self.feed(home)

    def _feed_object(self, value: Any) -> None:
        """Feed what pickle would keep of a value."""
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            parts = reduce(value) if reduce else value.__reduce_ex__(2)
        except Exception as error:
            raise TypeError(
                f"resume: a run must be made of values that can be told apart, had {value!r:.80}"
            ) from error
        if isinstance(parts, str):
            self.say("named", getattr(value, "__module__", type(value).__module__), parts)
            return
        self.feed(type(value))
        for part in parts[1:]:
            self.feed(list(part) if isinstance(part, Iterator) else part)


def _globals_read(code: CodeType) -> set[str]:
    """Return the global names that a function reads, also inside of what it defines."""
    names = {
        str(step.argval)
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _globals_read(constant)
    return names


def _imports(code: CodeType) -> set[str]:
    """Return the modules that a function imports by itself, also inside of what it defines."""
    names = {
        str(step.argval) for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME"
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _imports(constant)
    return names
