"""Tools of installed packages, found by entry point; one that cannot be used is a fault that names its package, and nothing more."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from tools.base import Tool

__all__ = ["GROUP", "TOOL_TYPE", "Plugin", "PluginFault", "load_plugins"]

GROUP = "patchbay.tools"
TOOL_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")

_UNKNOWN = "unknown package"
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Plugin:
    """A tool that a package brought; `package` is the distribution's name."""

    tool: type[Tool[Any]]
    package: str
    version: str


@dataclass(frozen=True, slots=True)
class PluginFault:
    """An entry point that brought no tool: `plugin` is its name, `entry_point` what it leads to (`module:Class`)."""

    plugin: str
    package: str
    entry_point: str
    reason: str
    remedy: str


def load_plugins(points: Iterable[EntryPoint], taken: Collection[str]) -> tuple[list[Plugin], list[PluginFault]]:
    """Import what the entry points lead to; `taken` are the types that no package may bring.

    Never raises, but for KeyboardInterrupt, which is a person's. Of two packages with one type the first by name is
    taken, so that an environment gives the same tools each time. What a module prints goes to stderr.
    """
    owners = dict.fromkeys(taken, "Patchbay itself")
    plugins: list[Plugin] = []
    faults: list[PluginFault] = []
    for point in sorted(points, key=lambda point: (_package(point), point.name, point.value)):
        try:
            with redirect_stdout(sys.stderr):
                plugin = _loaded(point, owners)
        except _Unusable as fault:
            faults.append(PluginFault(point.name, _package(point), point.value, fault.reason, fault.remedy))
            continue
        owners[plugin.tool.tool_type] = plugin.package
        plugins.append(plugin)
    return plugins, faults


class _Unusable(Exception):
    """Why an entry point brings no tool."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def _loaded(point: EntryPoint, owners: dict[str, str]) -> Plugin:
    package = _package(point)
    tool = _checked(_imported(point), package)
    if (owner := owners.get(tool.tool_type)) is not None:
        raise _Unusable(
            f"its tool_type '{tool.tool_type}' is taken by {owner}",
            f"Remove one of the two packages, or give the tool another type: pip uninstall {package}",
        )
    return Plugin(tool, package, point.dist.version if point.dist is not None else "")


def _imported(point: EntryPoint) -> object:
    package = _package(point)
    try:
        return point.load()
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        own = missing.partition(".")[0] == point.module.partition(".")[0]
        remedy = f"pip install --force-reinstall {package}" if own else f"Install what it needs: pip install {missing}"
        raise _Unusable(f"there is no module '{missing}'", remedy) from error
    except BaseException as error:  # somebody else's module, which may even call sys.exit()
        raise _Unusable(
            f"its import failed: {type(error).__name__}: {error}"[:_LONGEST],
            f"Install another version of {package}, or remove it: pip uninstall {package}",
        ) from error


def _checked(found: object, package: str) -> type[Tool[Any]]:
    """Return what was imported where it is a tool, and say what it lacks where it is none."""
    remedy = f"Tell the authors of {package}: its entry point must lead to a class as `patchbay tools new` writes it."
    if not isinstance(found, type) or not issubclass(found, Tool):
        raise _Unusable(f"it is no subclass of patchbay.Tool but {_words(found)}", remedy)
    if reason := _lack(found):
        raise _Unusable(reason, remedy)
    return found


def _lack(tool: type[Tool[Any]]) -> str:
    tool_type = getattr(tool, "tool_type", None)
    if not isinstance(tool_type, str):
        return f"{tool.__name__} has no tool_type"
    if not TOOL_TYPE.fullmatch(tool_type):
        return (
            f"its tool_type {tool_type[:64]!r} is not of a letter, then letters, digits and underscores, in lower case"
        )
    if inspect.isabstract(tool):
        return f"{tool.__name__} lacks {', '.join(sorted(tool.__abstractmethods__))}"
    if not inspect.iscoroutinefunction(tool.run):
        return f"{tool.__name__}.run is no `async def`"
    return _config_lack(tool)


def _config_lack(tool: type[Tool[Any]]) -> str:
    config = getattr(tool, "Config", None)
    if not isinstance(config, type) or not issubclass(config, BaseModel):
        return f"{tool.__name__}.Config is no pydantic model, such as a subclass of patchbay.ToolConfig"
    try:
        config.model_rebuild()
    except (PydanticUserError, NameError) as error:
        return f"{tool.__name__}.Config is not complete: {error}"[:_LONGEST]
    return ""


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else _UNKNOWN


def _words(found: object) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"an object of type {type(found).__name__}"
