"""The tools there are: those built in, and those of plugin packages (entry-point group `patchbay.tools`)."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import structlog
from pydantic import ValidationError

from runtime.workflow.faults import suggestion
from runtime.workflow.validation.catalogues import BUILT_IN_TOOLS
from tools.base import Tool
from tools.end_call import EndCall
from tools.http_request import HttpRequest
from tools.knowledge_search import KnowledgeSearch
from tools.mcp_tool import McpTool
from tools.offers import Offers
from tools.plugins import GROUP, Plugin, PluginFault, load_plugins
from tools.schema import checked_schema
from tools.send_dtmf import SendDtmf
from tools.supabase_query import SupabaseQuery
from tools.supabase_rpc import SupabaseRpc
from tools.transfer_call import TransferCall
from tools.wait import Wait
from tools.webhook import Webhook

__all__ = ["GROUP", "Entry", "Registry", "default_registry", "load_registry"]

Json = Any

_BUILT_IN: tuple[type[Tool[Any]], ...] = (
    EndCall,
    HttpRequest,
    KnowledgeSearch,
    McpTool,
    SendDtmf,
    SupabaseQuery,
    SupabaseRpc,
    TransferCall,
    Wait,
    Webhook,
)
_RESERVED = frozenset(BUILT_IN_TOOLS)

_log = structlog.get_logger("tools")


@dataclass(frozen=True, slots=True)
class Entry:
    """A type that a config may name. `package` is empty for what is built in."""

    tool_type: str
    tool: type[Tool[Any]]
    package: str = ""
    version: str = ""


class Registry:
    """Tools by their type; `offers` is what their calls share. It is validation's `ToolCatalogue` too."""

    def __init__(
        self,
        tools: Iterable[type[Tool[Any]]],
        *,
        plugins: Iterable[Plugin] = (),
        faults: Iterable[PluginFault] = (),
    ) -> None:
        self.offers = Offers()
        self._tools = {tool.tool_type: tool for tool in tools}
        self._plugins = {plugin.tool.tool_type: plugin for plugin in plugins}
        self._tools |= {tool_type: plugin.tool for tool_type, plugin in self._plugins.items()}
        self._faults = tuple(faults)

    def entries(self) -> Sequence[Entry]:
        """Return every type with where it comes from, in order of the types."""
        return tuple(self._entry(tool_type) for tool_type in sorted(self.tool_types()))

    def reserved(self) -> Collection[str]:
        """Return every type that a new plugin cannot have."""
        return self.tool_types() | _RESERVED

    def faults(self) -> Sequence[PluginFault]:
        """Return the installed plugins that could not be used, each with the reason and the remedy."""
        return self._faults

    def tool_types(self) -> frozenset[str]:
        """Return every type a config may name."""
        return frozenset(self._tools)

    def config_faults(self, tool_type: str, config: Mapping[str, Json]) -> Sequence[tuple[tuple[str | int, ...], str]]:
        """Return what does not fit the tool's schema: the location inside `config`, and a sentence."""
        tool = self._tools.get(tool_type)
        if tool is None:
            return ()
        try:
            self._check_schema(tool(tool.Config.model_validate(config)))
        except ValidationError as error:
            found = [_sentence(tool, each) for each in error.errors(include_url=False, include_input=False)]
            return tuple(dict(reversed(found)).items())  # one for each place: the first
        except ValueError as error:
            return (((), str(error)),)
        except Exception as error:  # noqa: BLE001 - a plugin's constructor is somebody else's code
            return (((), f"the tool itself broke over it: {type(error).__name__}: {error}."),)
        return ()

    def make(self, tool_type: str, config: Mapping[str, Json]) -> Tool[Any] | None:
        """Return the tool with its config; None where there is none of this type.

        Raises ValueError for a config that does not fit, which validation has found before.
        """
        tool = self._tools.get(tool_type)
        if tool is None:
            return None
        try:
            return tool(tool.Config.model_validate(config))
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f"the tool itself broke over its config: {type(error).__name__}") from error

    def _entry(self, tool_type: str) -> Entry:
        plugin = self._plugins.get(tool_type)
        if plugin is None:
            return Entry(tool_type, self._tools[tool_type])
        return Entry(tool_type, plugin.tool, plugin.package, plugin.version)

    def _check_schema(self, tool: Tool[Any]) -> None:
        """Raise ValueError where a plugin's parameters are no JSON Schema; those of built-in tools are."""
        if tool.tool_type in self._plugins:
            checked_schema(dict(tool.parameters()))


@functools.cache
def default_registry() -> Registry:
    """Return the registry of this process: the built-in tools and those of the installed plugin packages."""
    registry = load_registry()
    for fault in registry.faults():
        _log.warning("tool_plugin_unusable", plugin=fault.plugin, package=fault.package, reason=fault.reason)
    return registry


def load_registry() -> Registry:
    """Return a registry made anew; `default_registry` is the one that calls run on."""
    taken = _RESERVED | {tool.tool_type for tool in _BUILT_IN}
    plugins, faults = load_plugins(entry_points(group=GROUP), taken)
    return Registry(_BUILT_IN, plugins=plugins, faults=faults)


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
