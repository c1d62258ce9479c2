"""Plugins imported when a config first names them, while calls go on."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from livekit.agents import Plugin

from runtime.voice.providers import installed, module_of

__all__ = ["import_named"]

Json = Any

_KINDS: Final = frozenset({"llm", "stt", "tts", "vad"})
_REGISTER: Final = "register_plugin"
_one_at_a_time = threading.Lock()
_log = structlog.get_logger("plugins")


async def import_named(config: Json) -> bool:
    """Import the installed plugins that a config names anywhere; return whether there was a new one.

    A big one takes up to a second, which a thread spends on it, for the calls on this event loop. One that cannot be
    imported is logged and passed over, and refused where it is asked for. To be called on the main thread.
    """
    named = set(_providers(config, asked=False)).intersection(installed())
    new = [module for module in map(module_of, sorted(named)) if module not in sys.modules]
    for module in new:
        for plugin in await asyncio.to_thread(_imported, module):
            Plugin.register_plugin(plugin)
    return any(module in sys.modules for module in new)


def _providers(config: Json, *, asked: bool) -> Iterator[str]:
    """Yield the names of providers in what is stored, which nobody has checked."""
    match config:
        case Mapping():
            name = config.get("provider")
            if asked and isinstance(name, str):
                yield name
            for key, value in config.items():
                yield from _providers(value, asked=asked or key in _KINDS)
        case list() | tuple():
            for value in config:
                yield from _providers(value, asked=asked)
        case _:
            pass


def _imported(module: str) -> Sequence[Plugin]:
    with _one_at_a_time, _registering_later() as waiting:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a package's own fault, whatever it raises
            _log.warning("plugin_unusable", module=module, reason=f"{type(error).__name__}: {error}")
            return ()
    return waiting


@contextlib.contextmanager
def _registering_later() -> Iterator[list[Plugin]]:
    """Collect the plugins that announce themselves: LiveKit takes that on the main thread alone."""
    waiting: list[Plugin] = []
    own = Plugin.__dict__[_REGISTER]
    setattr(Plugin, _REGISTER, waiting.append)
    try:
        yield waiting
    finally:
        setattr(Plugin, _REGISTER, own)
