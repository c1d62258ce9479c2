"""Imports a program's heavy half at its start, in less time than Python takes by itself."""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

__all__ = ["at_once"]

_NAMES_ONLY: Final = "openai.types"


@contextmanager
def at_once() -> Iterator[None]:
    """Have imports in this block neither wait for the collector nor read what only lists names. To be entered first of all.

    The collector would walk all modules again and again, and nothing of them is garbage. The packages below
    `openai.types` import hundreds of modules for the sake of the names in them; from now on each does so when such a
    name is asked for, and its modules can be imported one by one as ever.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the packages of mere names, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _NAMES_ONLY and not fullname.startswith(f"{_NAMES_ONLY}."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.submodule_search_locations is not None and spec.loader is not None:
            spec.loader = _Later(spec.loader)
        return spec


class _Later(importlib.abc.Loader):
    """Runs a package's own code when one of its names is asked for."""

    def __init__(self, own: importlib.abc.Loader) -> None:
        self._own = own
        self._running: set[int] = set()

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        names = module.__dict__

        def attribute(name: str) -> Any:
            if name == "__all__" or not name.startswith("__"):
                self._run(module)
            try:
                return names[name]
            except KeyError:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}") from None

        names["__getattr__"] = attribute

    def _run(self, module: ModuleType) -> None:
        # Two threads may both run it, which gives the same names: a lock could be held by one that waits for a module
        # that the other imports. Within one thread it is a circle, and what is not there yet is not there.
        thread = threading.get_ident()
        if thread in self._running:
            return
        self._running.add(thread)
        try:
            self._own.exec_module(module)
            module.__dict__.pop("__getattr__", None)
        finally:
            self._running.discard(thread)
