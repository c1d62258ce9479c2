"""PATCHBAY_MCP_SERVERS: the operator's stdio MCP servers, as JSON or as a file of it, as other MCP clients write them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["McpServer", "read_mcp_servers"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_EXAMPLE = '{"mcpServers": {"files": {"command": "npx", "args": ["-y", "server"], "env": {}}}}'


class McpServer(BaseModel):
    """A stdio MCP server of the operator's: the command that starts it, as other MCP clients write it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["stdio"] = "stdio"
    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    cwd: Path | None = None


def read_mcp_servers(text: str, folder: Path) -> dict[str, McpServer]:
    """Return the servers by name. `text` is JSON, or the path of a JSON file, from `folder` where it is relative.

    Raises ValueError with every fault, and without what stands in `env`.
    """
    where, found = _json(text, folder)
    if isinstance(found, dict) and set(found) == {"mcpServers"}:
        found = found["mcpServers"]
    if not isinstance(found, dict):
        raise ValueError(f"{where}it must be a JSON object such as {_EXAMPLE}, or the path of a file with it")  # noqa: TRY004 - pydantic's validators raise it
    servers, faults = {}, []
    for name, each in found.items():
        try:
            servers[name] = _server(name, each)
        except ValueError as fault:
            faults.append(f"the server '{name[:80]}': {fault}")
    if faults:
        raise ValueError(where + "; ".join(faults))
    return servers


def _json(text: str, folder: Path) -> tuple[str, Any]:
    """Return what to name in a fault, and the JSON."""
    where = ""
    if not text.lstrip().startswith(("{", "[", '"')):
        path = folder / os.path.expanduser(text)  # noqa: PTH111 - Path's raises where no home is known
        where = f"{path}: "
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ValueError(
                f"{where}it cannot be read: {why}; write JSON such as {_EXAMPLE}, or a file's path"
            ) from None
    try:
        return where, json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "it"
        raise ValueError(f"{where}{place}: this is no JSON; write for example {_EXAMPLE}") from None


def _server(name: str, given: object) -> McpServer:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits, _ . and - and begins with a letter or a digit")
    if isinstance(given, dict) and "url" in given:
        raise ValueError("a server with a url is named in the workflow's tool; here stand those that a command starts")
    try:
        return McpServer.model_validate(given)
    except ValidationError as error:
        raise ValueError(", ".join(map(_sentence, error.errors(include_url=False, include_input=False)))) from None


def _sentence(found: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in found["loc"])
    match found["type"]:
        case "extra_forbidden":
            return f"there is no such key: {place} (keys: {', '.join(McpServer.model_fields)})"
        case "missing":
            return f"{place} is missing"
        case _:
            return f"{place or 'it'}: {str(found['msg'])[0].lower()}{str(found['msg'])[1:]}"
