"""The tools there are: those built in, and those of plugin packages (entry-point group `patchbay.tools`)."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import structlog
from pydantic import ValidationError

from runtime.workflow.faults import suggestion
from tools.base import Tool
from tools.end_call import EndCall
from tools.http_request import HttpRequest
from tools.send_dtmf import SendDtmf
from tools.transfer_call import TransferCall
from tools.wait import Wait

__all__ = ["GROUP", "Registry", "default_registry"]

Json = Any
GROUP = "patchbay.tools"

_BUILT_IN: tuple[type[Tool[Any]], ...] = (EndCall, HttpRequest, SendDtmf, TransferCall, Wait)
# Named by the config format, and not built yet: a config may hold them, a run says so.
_LATER = frozenset({"supabase_query", "supabase_rpc", "mcp", "knowledge_search", "webhook"})

_log = structlog.get_logger("tools")


class Registry:
    """Tools by their type. It is validation's `ToolCatalogue` too."""

    def __init__(self, tools: Iterable[type[Tool[Any]]], *, later: Collection[str] = ()) -> None:
        self._tools = {tool.tool_type: tool for tool in tools}
        self._later = frozenset(later) - self._tools.keys()

    def tool_types(self) -> Collection[str]:
        """Return every type a config may name, also those that are not available yet."""
        return self._tools.keys() | self._later

    def is_available(self, tool_type: str) -> bool:
        return tool_type in self._tools

    def config_faults(self, tool_type: str, config: Mapping[str, Json]) -> Sequence[tuple[tuple[str | int, ...], str]]:
        """Return what does not fit the tool's schema: the location inside `config`, and a sentence."""
        tool = self._tools.get(tool_type)
        if tool is None:
            return ()
        try:
            tool(tool.Config.model_validate(config))
        except ValidationError as error:
            found = [_sentence(tool, each) for each in error.errors(include_url=False, include_input=False)]
            return tuple(dict(reversed(found)).items())  # one for each place: the first
        except ValueError as error:
            return (((), str(error)),)
        return ()

    def make(self, tool_type: str, config: Mapping[str, Json]) -> Tool[Any] | None:
        """Return the tool with its config; None where there is none of this type.

        Raises ValueError for a config that does not fit, which validation has found before.
        """
        tool = self._tools.get(tool_type)
        return None if tool is None else tool(tool.Config.model_validate(config))


@functools.cache
def default_registry() -> Registry:
    """Return the registry of this process: the built-in tools and those of the installed plugin packages."""
    return Registry((*_BUILT_IN, *_plugins(entry_points(group=GROUP))), later=_LATER)


def _plugins(points: Iterable[EntryPoint]) -> list[type[Tool[Any]]]:
    taken = {tool.tool_type for tool in _BUILT_IN} | _LATER
    found: list[type[Tool[Any]]] = []
    for point in points:
        tool = _loaded(point)
        if tool is None:
            continue
        if tool.tool_type in taken:
            _log.warning("tool_type_taken", tool_type=tool.tool_type, plugin=point.value)
            continue
        taken.add(tool.tool_type)
        found.append(tool)
    return found


def _loaded(point: EntryPoint) -> type[Tool[Any]] | None:
    try:
        tool = point.load()
    except Exception as error:  # noqa: BLE001 - somebody else's module; the others are to work all the same
        _log.warning("tool_plugin_unusable", plugin=point.value, reason=f"{type(error).__name__}: {error}")
        return None
    if not isinstance(tool, type) or not issubclass(tool, Tool) or not hasattr(tool, "tool_type"):
        _log.warning("tool_plugin_unusable", plugin=point.value, reason="it is no patchbay.Tool with a tool_type")
        return None
    return tool


def _sentence(tool: type[Tool[Any]], found: Mapping[str, Any]) -> tuple[tuple[str | int, ...], str]:
    known = {info.alias or name for name, info in tool.Config.model_fields.items()}
    where = _inside(found["loc"])
    match found["type"]:
        case "extra_forbidden":
            return where, f"there is no such key. {suggestion(str(where[-1]), known, what='Keys')}"
        case "missing":
            return where, "it is missing."
        case "value_error":
            return where, f"{found['ctx']['error']}."
        case _:
            return where, f"{found['msg']}."


def _inside(loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Return the location without pydantic's own words for the key of an object and the member of a union."""
    words = {"[key]", "str", "int", "float", "bool"}
    return tuple(part for part in loc if part not in words and not str(part).startswith("function-"))
