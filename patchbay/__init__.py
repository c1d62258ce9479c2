"""What plugin packages and scripts may import: a tool, its context, its errors, and what built-in tools are made of."""

from tools.base import NO_ARGUMENTS, Json, Tool, ToolConfig, ToolContext, ToolError, ToolFunction, ToolResult
from tools.handles import Database, Filter, Knowledge, Passage
from tools.http_fetch import fetch
from tools.http_templates import Text, Url
from tools.jsonpaths import Path as JsonPath
from tools.schema import Parameters
from tools.templating import render, render_url

__all__ = [
    "NO_ARGUMENTS",
    "Database",
    "Filter",
    "Json",
    "JsonPath",
    "Knowledge",
    "Parameters",
    "Passage",
    "Text",
    "Tool",
    "ToolConfig",
    "ToolContext",
    "ToolError",
    "ToolFunction",
    "ToolResult",
    "Url",
    "fetch",
    "render",
    "render_url",
]
